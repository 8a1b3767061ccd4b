"""What a process of a fleet does about turns, answers and connects that are lost."""

from __future__ import annotations

from typing import Any

import pytest
from fleet_model import FOREVER
from hypothesis import given
from hypothesis import strategies as st
from process_model import NOW, TURN, Process

from sqlalchemy_rds_iam._ratelimit import redis_store
from sqlalchemy_rds_iam._ratelimit.limiter import RateLimiter, Ticket
from sqlalchemy_rds_iam._ratelimit.shared_limiter import LATE, LOST


@pytest.fixture(autouse=True)
def _calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outages are not to be read about."""
    monkeypatch.setattr(redis_store.logger, "disabled", True)


def test_what_is_said_of_a_lost_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Why the server is not used is in the log: how long there was no answer."""
    monkeypatch.setattr(redis_store.logger, "disabled", False)
    process = Process()
    process.enqueue(works=False)
    process.limiter.background_work(NOW)
    process.limiter.background_work(NOW + LOST)
    assert f"cannot be used: no answer within {LOST:g} s;" in caplog.text


@pytest.mark.parametrize("late", [0.0, 0.001, 5.0])
def test_one_request_at_a_time(late: float) -> None:
    """While one is under way there is nothing to do; after a while it is given up for lost."""
    process = Process()
    process.enqueue(works=False)
    lost = process.limiter.background_work(NOW)
    assert lost is not None
    assert process.limiter.background_work(NOW + LOST - 0.001) is None
    assert not process.storage.down
    assert process.limiter.background_work(NOW + LOST + late) is None
    assert process.storage.down
    # It comes back after all, and is of no account.
    lost()
    assert process.storage.down
    assert not process.limiter._reservations


def test_an_outage() -> None:
    """While the server fails the rate is this process's own, and one turn is asked for in a while.

    What was reserved before is not used: the server may not know of it any more.
    """
    process = Process()
    tickets: list[Any] = process.filled(8)
    for each in tickets[:4]:
        process.now += TURN
        assert process.limiter.poll(each, process.now, FOREVER) is None
    assert len(process.limiter._reservations) == 4
    process.broken = True
    process.enqueue()
    assert process.storage.down
    assert not process.limiter._reservations
    for _ in range(5):
        process.limiter.cancel()
    alone, asked = RateLimiter(200), len(process.asked)
    alone._lull = 0.0
    process.now += 1.0
    tickets = [process.enqueue() for _ in range(30)]
    waits = [ticket.wait if ticket else 0.0 for ticket in tickets]
    expected = [alone.enqueue(process.now, FOREVER) for _ in range(30)]
    assert waits == pytest.approx([ticket.wait if ticket else 0.0 for ticket in expected])
    assert len(process.asked) == asked
    process.broken = False
    process.now += 10
    process.enqueue()
    assert process.asked[asked:] == [1]
    assert not process.storage.down


@pytest.mark.parametrize("down", [True, False])
def test_those_who_never_come_back(down: bool) -> None:
    """Alone, a process gives them up after a pause; in a fleet that says nothing, as it is busy."""
    process = Process()
    process.broken = down
    process.enqueue()
    for _ in range(15):
        last = process.limiter.enqueue(process.now, FOREVER)
    assert last is not None
    process.now += 4.1 * TURN
    assert (process.limiter.poll(last, process.now, FOREVER) is None) == down


def test_a_fork() -> None:
    """A forked child has no turns of its parent, and no request that its parent waits for."""
    process = Process()
    process.filled(8)
    process.enqueue(works=False)
    process.limiter._request = process.limiter._request or object()  # type: ignore[assignment]
    process.limiter.after_fork()
    assert process.limiter.waiting == 0
    assert not process.limiter._reservations
    ticket = process.enqueue()
    assert ticket is not None
    assert ticket.wait == pytest.approx(0.001)
    assert len(process.asked) == 2


@pytest.mark.parametrize("row", [0, 20])
def test_a_turn_that_is_not_used(row: int) -> None:
    """It is lost after a moment, and its connect neither holds up others nor loses its place.

    Turns that were reserved ahead, and for which no connect came, are of no account.
    """
    process = Process()
    for _ in range(row):
        process.connect()
    process.now += 1.0
    tickets = process.filled(4)
    process.now += LATE + 1.5 * TURN  # which is too late for the first two
    for each in tickets[2:]:
        assert process.limiter.poll(each, process.now, FOREVER) is None
    assert process.limiter.waiting == 0
    for each in 3 * tickets[:2]:
        assert process.limiter.poll(each, process.now, FOREVER) is not None
    assert process.limiter.waiting == 2
    for each in tickets[:2]:
        ticket: Ticket | None = each
        process.work()
        while ticket is not None and process.now < NOW + 3:
            process.now += 0.001
            ticket = process.poll(ticket)
    assert process.limiter.waiting == 0
    process.now += 1.0
    assert process.connect() < 0.01


@given(st.integers(0, 5), st.booleans())
def test_a_turn_is_kept_for_a_moment(late: int, lost: bool) -> None:
    """One that comes a little late finds its turn, and one that is later waits for another."""
    process = Process()
    tickets = process.filled(6)
    due = NOW + late * TURN
    process.now = due + LATE + (0.001 if lost else -0.001)
    assert (process.poll(tickets[late]) is None) != (lost and late == 5)


def test_the_last_moment_of_a_turn() -> None:
    """At the end of its time it can still be used."""
    process = Process()
    [ticket] = process.filled(1)
    process.now = process.limiter._reservations[0].until
    assert process.poll(ticket) is None
