"""The fixtures of the documents' tests: a world in which what they name exists."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from docs_world import World

from sqlalchemy_rds_iam.testing import RdsEmulator


@pytest.fixture(scope="session")
def documents_emulator() -> Iterator[RdsEmulator]:
    """An emulator of their own, as the documents fill it with users and databases."""
    with RdsEmulator() as emulator:
        yield emulator


@pytest.fixture(scope="session")
def documents_mysql_emulator() -> Iterator[RdsEmulator]:
    """The same of MySQL."""
    with RdsEmulator(engine="mysql") as emulator:
        yield emulator


@pytest.fixture
def documented(
    documents_emulator: RdsEmulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[World]:
    """A world in which what the documents name exists."""
    for name, value in documents_emulator.environ().items():
        monkeypatch.setenv(name, value)
    logger = logging.getLogger("sqlalchemy_rds_iam")
    level, handlers = logger.level, list(logger.handlers)

    def mysql() -> RdsEmulator:
        found: RdsEmulator = request.getfixturevalue("documents_mysql_emulator")
        return found

    with World(documents_emulator, monkeypatch, tmp_path, mysql=mysql).entered() as entered:
        yield entered
    # What an example has set up is not for the tests that follow.
    logger.setLevel(level)
    logger.handlers[:] = handlers
