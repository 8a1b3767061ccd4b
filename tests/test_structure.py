"""The shape of the package: public names, one-way imports, and what a start-up may cost."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from patience import DEADLINE

import sqlalchemy_rds_iam

PACKAGE = Path(sqlalchemy_rds_iam.__file__).parent
# Each room may import those before it.
ORDER = [
    "errors",
    "concurrency",
    "frames",
    "lateness",
    "registry",
    "regions",
    "masking",
    "aws_files",
    "key_check",
    "endpoint",
    "urls",
    "user_names",
    "options",
    "config",
    "secret_config",
    "preconditions",
    "passwords",
    "lifetimes",
    "signing",
    "secrets",
    "events",
    "reporting",
    "discretion",
    "flights",
    "slots",
    "ambient",
    "environment",
    "collector",
    "sessions",
    "roles",
    "identity_key",
    "provider_faults",
    "complaints",
    "credentials",
    "secret_complaints",
    "secrets_client",
    "secret_source",
    "tokens",
    "pacing",
    "storage_socket",
    "storage",
    "fleet",
    "turns",
    "throttling",
    "ownership",
    "bundle",
    "public_roots",
    "contexts",
    "tls",
    "guarded",
    "dialing",
    "driver_tls",
    "libpq_variables",
    "drivers",
    "arguments",
    "names",
    "grants",
    "refusal",
    "connect_errors",
    "waits",
    "listeners",
    "supply",
    "connector",
    "iam_connector",
    "rotation",
    "secret_connector",
    "stats",
    "otel",
    "plugin",
    "secret_plugin",
    "pair_settings",
    "pair",
    "routing",
    "routing_async",
    "access",
    "libpq",
    "rds_api",
    "iam_policy",
    "authorities",
    "ca_download",
    "gauge",
    "doctor",
    "testing",
    "cli",
]


def test_public_names() -> None:
    """What users import is decided here, not by accident."""
    assert sorted(sqlalchemy_rds_iam.__all__) == [
        "AsyncEnginePair",
        "AsyncRoutingSession",
        "ConfigError",
        "CredentialsError",
        "EnginePair",
        "Event",
        "RdsIamError",
        "RoutingError",
        "RoutingSession",
        "SecretError",
        "Stats",
        "WaitTimeout",
        "__version__",
        "async_engine_pair",
        "engine_pair",
        "rds_iam_stats",
    ]
    for name in sqlalchemy_rds_iam.__all__:
        assert getattr(sqlalchemy_rds_iam, name).__class__ is not ModuleType
    assert set(sqlalchemy_rds_iam.__all__) <= set(dir(sqlalchemy_rds_iam))
    with pytest.raises(AttributeError, match="engine_pairs"):
        sqlalchemy_rds_iam.engine_pairs  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: file.stem)
def test_imports_point_one_way(file: Path) -> None:
    """A room imports only rooms before it in the order of the design, so there are no cycles."""
    imported = {
        name.removeprefix("sqlalchemy_rds_iam.").split(".")[0]
        for node in ast.walk(ast.parse(file.read_text()))
        for name in _modules(node)
        if name.startswith("sqlalchemy_rds_iam.")
    }
    room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room == "__init__":
        assert imported == {"errors", "events", "pair", "routing", "routing_async", "stats"}
    else:
        before = set(ORDER[: ORDER.index(room)])
        assert imported - {room, *sqlalchemy_rds_iam.__all__} <= before


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module == "sqlalchemy_rds_iam":
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def test_the_verifier_shares_nothing_with_the_signer() -> None:
    """The emulator's judgement of a token owes nothing to the code that signs, nor to botocore."""
    for path in (PACKAGE / "testing").rglob("*.py"):
        if path.stem in {"verifier", "aws_sigv4"}:
            source = path.read_text()
            for foreign in ("botocore", "sqlalchemy_rds_iam.signing", "sqlalchemy_rds_iam.tokens"):
                assert f"import {foreign}" not in source
                assert f"from {foreign}" not in source


def test_create_engine_imports_no_botocore(ca: str) -> None:
    """Importing the package and making sync and async engines leaves botocore alone."""
    url = "app@db.abc123.us-east-1.rds.amazonaws.com/app?plugin=rds_iam"
    _python(
        "import sys, sqlalchemy_rds_iam\n"
        "from sqlalchemy import create_engine\n"
        "from sqlalchemy.ext.asyncio import create_async_engine\n"
        f"create_engine('postgresql+psycopg://{url}')\n"
        f"create_async_engine('postgresql+asyncpg://{url}')\n"
        "found = [m for m in sys.modules if m.partition('.')[0] in ('botocore', 'aiobotocore')]\n"
        "assert not found, found"
    )


def test_importing_the_package_is_cheap() -> None:
    """The names of pairs and sessions cost nothing, and ask for no ORM, until they are used."""
    _python(
        "import sys, sqlalchemy_rds_iam\n"
        "found = {'sqlalchemy.orm', 'sqlalchemy.ext.asyncio', 'sqlalchemy_rds_iam.plugin',\n"
        "         'sqlalchemy_rds_iam.pair', 'sqlalchemy_rds_iam.routing'} & set(sys.modules)\n"
        "assert not found, found"
    )


def test_pairs_and_sessions_without_greenlet(ca: str) -> None:
    """Sync pairs and sessions need no greenlet; async ones say that they do."""
    url = "app@db.abc123.us-east-1.rds.amazonaws.com/app?plugin=rds_iam"
    _python(
        "import sys; sys.modules['greenlet'] = None\n"
        "from sqlalchemy_rds_iam import RoutingSession, async_engine_pair, engine_pair\n"
        f"RoutingSession(pair=engine_pair('postgresql+psycopg://{url}'))\n"
        "try:\n"
        f"    async_engine_pair('postgresql+asyncpg://{url}')\n"
        "except Exception as error:\n"
        "    assert 'greenlet' in str(error), error\n"
        "else:\n"
        "    raise SystemExit('no error')"
    )


def test_greenlet_missing(ca: str) -> None:
    """An async engine without greenlet is refused with what to install; a sync one works."""
    url = "app@db.abc123.us-east-1.rds.amazonaws.com/app?plugin=rds_iam"
    _python(
        "import sys; sys.modules['greenlet'] = None\n"
        "from sqlalchemy import create_engine\n"
        f"create_engine('postgresql+psycopg://{url}')\n"
        "try:\n"
        "    from sqlalchemy.ext.asyncio import create_async_engine\n"
        f"    create_async_engine('postgresql+asyncpg://{url}')\n"
        "except Exception as error:\n"
        "    assert 'greenlet' in str(error), error\n"
        "else:\n"
        "    raise SystemExit('no error')"
    )


def _python(code: str) -> None:
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
