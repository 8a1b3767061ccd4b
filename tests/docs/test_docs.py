"""README.md and docs/*.md: every example runs on the emulator, every link and command holds."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from docs_support import Document, command_faults, documents, faults
from docs_world import World

import sqlalchemy_rds_iam
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam.testing import fixtures

DOCUMENTS = documents()
EVERY = pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)


@EVERY
def test_examples(document: Document, documented: World) -> None:
    """Every block of Python and every ini file that is not marked runs, in the document's order."""
    wanted = [block for block in document.blocks if block.runs and not block.is_test_module]
    assert documented.run(document) == len(wanted)
    assert all(decision.granted for decision in documented.logins)
    if missing := {package for block in document.blocks for package in block.missing}:
        pytest.skip(f"some of it needs {', '.join(sorted(missing))}")


@pytest.mark.server
def test_test_modules(tmp_path: Path) -> None:
    """The documents' tests pass in a pytest of their own, below the conftest.py they come after."""
    wanted = 0
    directories: list[Path] = []
    for number, document in enumerate(DOCUMENTS.values()):
        place = tmp_path / f"document{number}"
        for block in document.blocks:
            if not (block.runs and block.is_test_module):
                continue
            is_conftest = block.text.startswith("# conftest.py\n")
            if is_conftest:
                place = tmp_path / f"document{number}_{block.line}"
            place.mkdir(exist_ok=True)
            directories.append(place)
            name = "conftest.py" if is_conftest else f"test_line_{block.line}.py"
            (place / name).write_text(block.text)
            wanted += len(re.findall(r"^(?:async )?def test_", block.text, re.MULTILINE))
    settings = ["asyncio_mode=auto", "asyncio_default_fixture_loop_scope=function"]
    options = [
        "-qWerror",
        "-pno:cacheprovider",
        "--import-mode=importlib",
        *map("-o{}".format, settings),
    ]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            f"--rootdir={tmp_path}",
            *options,
            *dict.fromkeys(directories),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert f"\n{wanted} passed in" in done.stdout, done.stdout + done.stderr
    for conftest in tmp_path.glob("*/conftest.py"):
        assert list(conftest.parent.glob("test_*.py")), f"no test comes after {conftest}"


@EVERY
def test_form(document: Document) -> None:
    """Links lead somewhere, marks have a reason and a block, and no block escapes by its name."""
    assert list(faults(document, DOCUMENTS)) == []


@EVERY
def test_syntax(document: Document) -> None:
    """Python and JSON can be parsed, also where they are not run."""
    for block in document.blocks:
        if block.language == "python":
            ast.parse(block.text, block.place)
        elif block.language == "json":
            json.loads(block.text)


@EVERY
def test_options(document: Document) -> None:
    """Every `rds_iam_…` that a document names is an option, or else a public name or fixture.

    So is every `rds_secret_…`.
    """
    text = "\n".join([*document.prose, *(block.text for block in document.blocks)])
    kinds = IamOptions, SecretOptions
    known = {kind.named(field.name) for kind in kinds for field in fields(kind)}
    known |= {*vars(fixtures), *sqlalchemy_rds_iam.__all__}
    for name in re.findall(r"(?<![/_])\b(?:rds_iam_|rds_secret_)[a-z_]+", text):
        # Some are named together: rds_iam_role_…
        assert name in known or (name[-1] == "_" and any(each.startswith(name) for each in known))


@EVERY
def test_tests(document: Document) -> None:
    """A test that a document names as the proof of something exists.

    `::test_x` alone is in the file that is named before it.
    """
    file = ""
    for name, test in re.findall(r"`(test_\w+\.py)?(?:::(test_\w+))?`", "\n".join(document.prose)):
        file = name or file
        if file:
            [path] = Path(__file__).parents[1].rglob(file)
            assert not test or f"def {test}(" in path.read_text(), f"{file}::{test}"


def test_proofs() -> None:
    """The page for contributors names tests, and no page for readers does in a table."""
    assert "::test_" in "\n".join(DOCUMENTS["docs/proof.md"].prose)
    for name, document in DOCUMENTS.items():
        rows = [line for line in document.prose if line.startswith("|") and "test_" in line]
        assert not rows or name in {"docs/proof.md", "docs/contributing.md"}, name


@EVERY
def test_commands(document: Document) -> None:
    """The `make` targets and `rds-iam` commands that a document names exist, options included."""
    assert [fault for words in document.commands for fault in command_faults(words)] == []
