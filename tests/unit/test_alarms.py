"""What is due is called in time, by one thread; what was called off is not."""

from __future__ import annotations

import threading
from time import monotonic

import pytest
from patience import DEADLINE, eventually

from sqlalchemy_rds_iam._concurrency import run_in_daemon_thread
from sqlalchemy_rds_iam._databases.alarms import Alarm, Alarms

FAR = 1000.0


def _threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name == "rds-iam-alarms"}


def test_an_earlier_one_comes_first() -> None:
    """However late the one is that the thread was waiting for."""
    alarms, rang = Alarms(), threading.Event()
    before = _threads()
    alarms.at(monotonic() + FAR, lambda: None)
    alarms.at(monotonic(), rang.set)
    assert rang.wait(DEADLINE)
    assert len(_threads() - before) == 1


def test_each_at_its_time() -> None:
    """In the order in which they are due, and none too early."""
    alarms, now = Alarms(), monotonic()
    rang: list[tuple[int, bool]] = []
    for due in (3, 1, 2):
        end = now + due / 100
        alarms.at(end, lambda due=due, end=end: rang.append((due, monotonic() >= end)))
    eventually(lambda: len(rang) == 3)
    assert rang == [(1, True), (2, True), (3, True)]


def test_called_off() -> None:
    """It is not called, and what it would have called is not held any more."""
    alarms, rang = Alarms(), threading.Event()
    calls: list[str] = []
    # Due before the thread can look at it, if it has not been called off by then.
    with alarms._changed:
        alarm = alarms.at(monotonic(), lambda: calls.append("called"))
        alarm.call_off()
    assert alarm.is_off
    assert alarm._call is None
    alarms.at(monotonic(), rang.set)
    assert rang.wait(DEADLINE)
    assert not calls


def test_in_a_forked_process() -> None:
    """Neither the thread nor an alarm is there, nor does a lock that was held hold up new ones."""
    alarms, rang = Alarms(), threading.Event()
    alarms._running = True
    alarms._due.append((monotonic() + FAR, 0, Alarm(lambda: None)))
    with alarms._changed:
        alarms.after_fork()
        assert not alarms._due
        run_in_daemon_thread(lambda: alarms.at(monotonic(), rang.set)).result(DEADLINE)
    assert rang.wait(DEADLINE)


def test_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one tries again."""
    alarms, rang = Alarms(), threading.Event()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            alarms.at(monotonic(), lambda: None)
    alarms.at(monotonic(), rang.set)
    assert rang.wait(DEADLINE)


def test_the_thread_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once there has been no alarm for long; the next one starts another."""
    monkeypatch.setattr("sqlalchemy_rds_iam._databases.alarms._IDLE", 0.0)
    alarms, before = Alarms(), _threads()
    for _ in range(2):
        rang = threading.Event()
        alarms.at(monotonic(), rang.set)
        assert rang.wait(DEADLINE)
        eventually(lambda: not _threads() - before)
