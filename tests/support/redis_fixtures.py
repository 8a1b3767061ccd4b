"""The fixtures of the fleet tests. A test module names this one in `pytest_plugins`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
from redis_support import Server, be_patient

from sqlalchemy_rds_iam._ratelimit import redis_store as storages


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    """A server for all of the tests here."""
    server = Server()
    yield server
    server.close()


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that knows nothing, and is soon asked again when it has failed."""
    running.admin.flushall()
    storages._shared.clear()
    monkeypatch.setattr(storages, "RETRY", (0.02, 0.04))
    return running


@pytest.fixture
def patient(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The same server, for tests in which it is not slow but the machine may be."""
    be_patient(monkeypatch)
    return server


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The level of all that was logged, in order."""
    caplog.set_level(logging.INFO, logger="sqlalchemy_rds_iam")
    return lambda: [
        record.levelname for record in caplog.records if record.name == "sqlalchemy_rds_iam"
    ]
