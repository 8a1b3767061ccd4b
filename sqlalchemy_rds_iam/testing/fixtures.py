"""Pytest fixtures: ``pytest_plugins = ["sqlalchemy_rds_iam.testing.fixtures"]``."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sqlalchemy_rds_iam.testing.emulator import RdsEmulator


@pytest.fixture(scope="session")
def rds_emulator() -> Iterator[RdsEmulator]:
    """One emulator for the whole session, with the database user ``app``.

    Override it in your own conftest.py to have other users, a ceiling or an existing server.
    """
    with RdsEmulator() as emulator:
        yield emulator


@pytest.fixture
def rds_iam_environment(
    rds_emulator: RdsEmulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RdsEmulator]:
    """The emulator without records, faults and secrets; the environment makes it all of AWS."""
    rds_emulator.clear()
    rds_emulator.gateway.reset()
    rds_emulator.secrets.clear()
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in rds_emulator.environ().items():
        monkeypatch.setenv(name, value)
    yield rds_emulator
    rds_emulator.gateway.reset()
