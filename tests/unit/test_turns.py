"""One turn after the other, to the moment: what a limiter says is when the turn comes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from turns_support import FOREVER, NOW, TURN, emptied, nows, take_all, waiting

from sqlalchemy_rds_iam._ratelimit.limiter import (
    BURST,
    CATCH_UP,
    HEADROOM,
    LULL,
    QueueTimeout,
    RateLimiter,
)


@given(nows, st.sampled_from([1, 10, 50, 51, 100, 200, 1000]))
def test_the_burst(now: float, rate: int) -> None:
    """A fiftieth of a second's turns may be taken at once, at least one, and no more."""
    taken = take_all(RateLimiter(rate), now)
    assert taken == max(1, int(BURST * rate))
    again = RateLimiter(rate)
    assert [again.enqueue(now, FOREVER) is None for _ in range(taken + 1)] == [True] * taken + [
        False
    ]


@given(nows, st.floats(0.1, 100))
def test_nothing_is_saved_up(now: float, pause: float) -> None:
    """However long no connect came, no more than the burst is there."""
    limiter = emptied(200, now)
    assert take_all(limiter, now + pause) == 4


@given(nows, st.sampled_from([50, 200, 1000]))
def test_the_next_turn(now: float, rate: int) -> None:
    """A turn comes after its share of a second and a little, and not before."""
    turn = HEADROOM / rate
    limiter = emptied(rate, now)
    assert not limiter.try_acquire(now + 0.999 * turn)
    assert limiter.try_acquire(now + 1.001 * turn)
    limiter = emptied(rate, now)
    first, second = waiting(limiter, now), waiting(limiter, now)
    assert (first.number, second.number) == (1, 2)
    assert first.wait == pytest.approx(turn, rel=1e-6)
    assert second.wait == pytest.approx(first.wait + turn, rel=1e-6)
    early = limiter.poll(first, now + 0.9 * first.wait, FOREVER)
    assert early is not None
    assert (early.number, early.wait) == (1, pytest.approx(0.1 * first.wait, rel=1e-3))
    assert limiter.poll(first, now + first.wait, FOREVER) is None
    assert limiter.poll(second, now + second.wait, FOREVER) is None
    assert limiter.waiting == 0


def test_no_connect_overtakes_one_that_waits() -> None:
    """While one is on its way back for its turn, a connect that comes then has to wait as well."""
    limiter = emptied(200, NOW)
    first = waiting(limiter, NOW)
    assert limiter.waiting == 1
    later = NOW + 2.5 * TURN
    assert not limiter.try_acquire(later)
    assert limiter.poll(first, later, FOREVER) is None
    assert limiter.waiting == 0
    assert limiter.try_acquire(later)
    assert not limiter.try_acquire(later)


def test_one_that_comes_late_finds_its_turn() -> None:
    """Of two turns that have come, the first is of the one that waited, the second of the next."""
    limiter = emptied(200, NOW)
    first = waiting(limiter, NOW)
    assert limiter.enqueue(NOW + 2.01 * TURN, FOREVER) is None
    assert limiter.poll(first, NOW + 2.01 * TURN, FOREVER) is None


@pytest.mark.parametrize(("turns", "given_up"), [(3.9, False), (4.1, True)])
def test_turns_of_those_who_are_gone(turns: float, given_up: bool) -> None:
    """After a pause in which the burst has come back, those before are not waited for any more."""
    limiter = emptied(200, NOW)
    for _ in range(15):
        waiting(limiter, NOW)
    last = waiting(limiter, NOW)
    assert limiter.waiting == 16
    assert (limiter.poll(last, NOW + turns * TURN, FOREVER) is None) == given_up
    assert limiter.waiting == (0 if given_up else 16)


def test_a_ticket_of_one_that_was_given_up() -> None:
    """One that comes back after it was given up finds a turn, and costs no other one its place."""
    limiter = emptied(200, NOW)
    first, second, last = (waiting(limiter, NOW) for _ in range(3))
    assert limiter.poll(second, NOW + 4.1 * TURN, FOREVER) is None
    assert limiter.waiting == 1
    assert limiter.poll(last, NOW + 5.2 * TURN, FOREVER) is None
    assert limiter.poll(first, NOW + 6.3 * TURN, FOREVER) is None
    assert limiter.waiting == 0
    assert not limiter.try_acquire(NOW + 6.4 * TURN)
    # The next one in the queue is counted as any other, and not overtaken.
    now = NOW + 6.4 * TURN
    waiting(limiter, now)
    assert limiter.waiting == 1
    assert not limiter.try_acquire(now + 1.5 * TURN)


@given(nows, st.integers(0, 30))
def test_who_has_no_turn_in_time(now: float, before: int) -> None:
    """The moment of the turn is in time, and an instant before it is not; how long is told."""
    limiter = emptied(200, now)
    for _ in range(before):
        waiting(limiter, now)
    turn = now + (before + 1) * TURN + (LULL if before >= 20 else 0)
    with pytest.raises(QueueTimeout) as caught:
        limiter.enqueue(now, turn - 1e-4)
    assert (caught.value.waiting, limiter.waiting) == (before, before)
    assert now + caught.value.seconds == pytest.approx(turn, abs=1e-5)
    ticket = waiting(limiter, now, turn + 1e-4)
    assert ticket.number == limiter.waiting == before + 1


@given(nows)
def test_a_turn_that_has_moved(now: float) -> None:
    """Whether there is still a turn in time is asked anew each time."""
    limiter = emptied(200, now)
    for _ in range(3):
        waiting(limiter, now)
    fourth = waiting(limiter, now)
    turn = now + fourth.wait
    with pytest.raises(QueueTimeout) as caught:
        limiter.poll(fourth, now + TURN / 2, turn - 1e-4)
    assert caught.value.waiting == 3
    assert caught.value.seconds == pytest.approx(fourth.wait - TURN / 2)
    ticket = limiter.poll(fourth, now + TURN / 2, turn + 1e-4)
    assert ticket is not None
    assert limiter.waiting == 4


@pytest.mark.parametrize("way", ["at once", "in the queue"])
def test_a_queue_after_a_burst_stands_still_once(way: str) -> None:
    """With a tenth of a second's connects before it, a connect waits for the lull; others do not.

    The lull is over with the burst that it is for: it comes again only after the next one.
    """
    limiter = emptied(200, NOW)
    waits = [waiting(limiter, NOW).wait for _ in range(40)]
    gaps = [later - earlier for earlier, later in pairwise(waits)]
    assert gaps[19] == pytest.approx(TURN + LULL)
    assert gaps[:19] + gaps[20:] == pytest.approx([TURN] * 38)
    for _ in waits:
        limiter.cancel()
    assert limiter.waiting == 0
    # All that has come in meanwhile is for the lull, and for the next turn.
    now = NOW + LULL + 1.5 * TURN
    assert limiter.enqueue(now, FOREVER) is None
    waits = [waiting(limiter, now).wait for _ in range(40)]
    gaps = [later - earlier for earlier, later in pairwise(waits)]
    assert gaps == pytest.approx([TURN] * 39)
    for _ in waits:
        limiter.cancel()
    now += 1.0
    if way == "at once":
        assert limiter.try_acquire(now)
    else:
        assert limiter.enqueue(now, FOREVER) is None
    waits = [ticket.wait for _ in range(40) if (ticket := limiter.enqueue(now, FOREVER))]
    assert max(waits) == pytest.approx((len(waits)) * TURN + LULL, abs=TURN)


def test_who_is_turned_away_leaves_the_lull() -> None:
    """A connect that has no turn in time does not spend the lull of the one that has."""
    limiter = emptied(200, NOW)
    for _ in range(20):
        waiting(limiter, NOW)
    for _ in range(5):
        with pytest.raises(QueueTimeout):
            limiter.enqueue(NOW, NOW + 21 * TURN)
    assert waiting(limiter, NOW).wait == pytest.approx(21 * TURN + LULL)


@pytest.mark.parametrize(("held_up", "left"), [(0.5, 0.5), (1.0, 1.0), (1.5, 1.5), (3.0, 1.0)])
def test_what_a_queue_makes_up_for(held_up: float, left: float) -> None:
    """Turns of the last hundredth of a second are made up for; of a longer hold-up, one is left."""
    limiter = emptied(200, NOW)
    first, second = waiting(limiter, NOW), waiting(limiter, NOW)
    assert 1.9 < CATCH_UP / TURN < 2.0
    now = NOW + TURN * held_up
    if held_up < 1:
        ticket = limiter.poll(first, now, FOREVER)
        assert ticket is not None
        assert ticket.wait == pytest.approx((1 - left) * TURN)
        return
    assert limiter.poll(first, now, FOREVER) is None
    ticket = limiter.poll(second, now, FOREVER)
    assert ticket is not None
    assert ticket.wait == pytest.approx((2 - left) * TURN, rel=1e-6)


def test_each_leaves_once() -> None:
    """Who cancels leaves the queue by one."""
    limiter = emptied(200, NOW)
    tickets = [waiting(limiter, NOW) for _ in range(3)]
    limiter.cancel()
    assert limiter.waiting == 2
    assert limiter.poll(tickets[1], NOW + 1.001 * TURN, FOREVER) is None
    assert limiter.waiting == 1


def test_a_clock_that_stands_still() -> None:
    """Nothing comes in at the same moment, or an earlier one."""
    limiter = emptied(200, NOW)
    first = waiting(limiter, NOW)
    assert limiter.poll(first, NOW, FOREVER) == first
    assert limiter.poll(first, NOW - 0.5, FOREVER) == first
    assert limiter.poll(first, NOW - 10, FOREVER) == first
    assert limiter.poll(first, NOW + 1.001 * TURN, FOREVER) is None
