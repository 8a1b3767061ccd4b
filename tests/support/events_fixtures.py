"""Fixtures of the tests of what operators see. A test module names this one in `pytest_plugins`."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from events_support import Seen
from patience import DEADLINE

from sqlalchemy_rds_iam._ratelimit import registry, retry_policy


@pytest.fixture
def seen() -> Seen:
    """A hook."""
    return Seen()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[logging.LogRecord]]:
    """The log records so far that carry an event, DEBUG included."""
    caplog.set_level(logging.DEBUG, "sqlalchemy_rds_iam")
    return lambda: [record for record in caplog.records if hasattr(record, "rds_iam")]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is throttled is tried again within hundredths of a second, and others were let in."""
    monkeypatch.setattr(retry_policy, "SHORTEST_PAUSE", 0.02)
    monkeypatch.setattr(retry_policy, "LONGEST_PAUSE", 0.02)
    # On a busy machine that was not a moment ago.
    monkeypatch.setattr(retry_policy, "RECENT", DEADLINE)
    monkeypatch.setattr(retry_policy, "CURRENT", DEADLINE)


@pytest.fixture
def own_turns() -> None:
    """Turns at the full rate, whatever a test before has made of those at the same endpoint."""
    registry._limiters.clear()
