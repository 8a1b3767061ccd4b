"""One turn after the other, to the moment: what a limiter says is when the turn comes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam._ratelimit.limiter import (
    BURST,
    CATCH_UP,
    CUT,
    CUT_PAUSE,
    HEADROOM,
    LOWEST,
    LULL,
    REGAIN,
    QueueTimeout,
    RateLimiter,
    Ticket,
)

NOW = 1000.0
FOREVER = float("inf")
TURN = HEADROOM / 200
"""Seconds that a turn takes at the rate of most of these tests."""

# Where times begin is of no account, nor whether they are before or after the clock's zero.
nows = st.sampled_from([0.25, 1.0, NOW, 1e6])


def _take_all(limiter: RateLimiter, now: float) -> int:
    """Take what there is without waiting; how many turns that were."""
    for taken in range(limiter.rate + 1):
        if not limiter.try_acquire(now):
            return taken
    raise AssertionError


def _emptied(rate: int, now: float) -> RateLimiter:
    """A limiter whose burst has just been taken, for which no connect waits."""
    limiter = RateLimiter(rate)
    _take_all(limiter, now)
    assert limiter.waiting == 0
    return limiter


def _waiting(limiter: RateLimiter, now: float, latest: float = FOREVER) -> Ticket:
    ticket = limiter.enqueue(now, latest)
    assert ticket is not None
    return ticket


@given(nows, st.sampled_from([1, 10, 50, 51, 100, 200, 1000]))
def test_the_burst(now: float, rate: int) -> None:
    """A fiftieth of a second's turns may be taken at once, at least one, and no more."""
    taken = _take_all(RateLimiter(rate), now)
    assert taken == max(1, int(BURST * rate))
    again = RateLimiter(rate)
    assert [again.enqueue(now, FOREVER) is None for _ in range(taken + 1)] == [True] * taken + [
        False
    ]


@given(nows, st.floats(0.1, 100))
def test_nothing_is_saved_up(now: float, pause: float) -> None:
    """However long no connect came, no more than the burst is there."""
    limiter = _emptied(200, now)
    assert _take_all(limiter, now + pause) == 4


@given(nows, st.sampled_from([50, 200, 1000]))
def test_the_next_turn(now: float, rate: int) -> None:
    """A turn comes after its share of a second and a little, and not before."""
    turn = HEADROOM / rate
    limiter = _emptied(rate, now)
    assert not limiter.try_acquire(now + 0.999 * turn)
    assert limiter.try_acquire(now + 1.001 * turn)
    limiter = _emptied(rate, now)
    first, second = _waiting(limiter, now), _waiting(limiter, now)
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
    limiter = _emptied(200, NOW)
    first = _waiting(limiter, NOW)
    assert limiter.waiting == 1
    later = NOW + 2.5 * TURN
    assert not limiter.try_acquire(later)
    assert limiter.poll(first, later, FOREVER) is None
    assert limiter.waiting == 0
    assert limiter.try_acquire(later)
    assert not limiter.try_acquire(later)


def test_one_that_comes_late_finds_its_turn() -> None:
    """Of two turns that have come, the first is of the one that waited, the second of the next."""
    limiter = _emptied(200, NOW)
    first = _waiting(limiter, NOW)
    assert limiter.enqueue(NOW + 2.01 * TURN, FOREVER) is None
    assert limiter.poll(first, NOW + 2.01 * TURN, FOREVER) is None


@pytest.mark.parametrize(("turns", "given_up"), [(3.9, False), (4.1, True)])
def test_turns_of_those_who_are_gone(turns: float, given_up: bool) -> None:
    """After a pause in which the burst has come back, those before are not waited for any more."""
    limiter = _emptied(200, NOW)
    for _ in range(15):
        _waiting(limiter, NOW)
    last = _waiting(limiter, NOW)
    assert limiter.waiting == 16
    assert (limiter.poll(last, NOW + turns * TURN, FOREVER) is None) == given_up
    assert limiter.waiting == (0 if given_up else 16)


def test_a_ticket_of_one_that_was_given_up() -> None:
    """One that comes back after it was given up finds a turn, and costs no other one its place."""
    limiter = _emptied(200, NOW)
    first, second, last = (_waiting(limiter, NOW) for _ in range(3))
    assert limiter.poll(second, NOW + 4.1 * TURN, FOREVER) is None
    assert limiter.waiting == 1
    assert limiter.poll(last, NOW + 5.2 * TURN, FOREVER) is None
    assert limiter.poll(first, NOW + 6.3 * TURN, FOREVER) is None
    assert limiter.waiting == 0
    assert not limiter.try_acquire(NOW + 6.4 * TURN)
    # The next one in the queue is counted as any other, and not overtaken.
    now = NOW + 6.4 * TURN
    _waiting(limiter, now)
    assert limiter.waiting == 1
    assert not limiter.try_acquire(now + 1.5 * TURN)


@given(nows, st.integers(0, 30))
def test_who_has_no_turn_in_time(now: float, before: int) -> None:
    """The moment of the turn is in time, and an instant before it is not; how long is told."""
    limiter = _emptied(200, now)
    for _ in range(before):
        _waiting(limiter, now)
    turn = now + (before + 1) * TURN + (LULL if before >= 20 else 0)
    with pytest.raises(QueueTimeout) as caught:
        limiter.enqueue(now, turn - 1e-4)
    assert (caught.value.waiting, limiter.waiting) == (before, before)
    assert now + caught.value.seconds == pytest.approx(turn, abs=1e-5)
    ticket = _waiting(limiter, now, turn + 1e-4)
    assert ticket.number == limiter.waiting == before + 1


@given(nows)
def test_a_turn_that_has_moved(now: float) -> None:
    """Whether there is still a turn in time is asked anew each time."""
    limiter = _emptied(200, now)
    for _ in range(3):
        _waiting(limiter, now)
    fourth = _waiting(limiter, now)
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
    limiter = _emptied(200, NOW)
    waits = [_waiting(limiter, NOW).wait for _ in range(40)]
    gaps = [later - earlier for earlier, later in pairwise(waits)]
    assert gaps[19] == pytest.approx(TURN + LULL)
    assert gaps[:19] + gaps[20:] == pytest.approx([TURN] * 38)
    for _ in waits:
        limiter.cancel()
    assert limiter.waiting == 0
    # All that has come in meanwhile is for the lull, and for the next turn.
    now = NOW + LULL + 1.5 * TURN
    assert limiter.enqueue(now, FOREVER) is None
    waits = [_waiting(limiter, now).wait for _ in range(40)]
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
    limiter = _emptied(200, NOW)
    for _ in range(20):
        _waiting(limiter, NOW)
    for _ in range(5):
        with pytest.raises(QueueTimeout):
            limiter.enqueue(NOW, NOW + 21 * TURN)
    assert _waiting(limiter, NOW).wait == pytest.approx(21 * TURN + LULL)


@pytest.mark.parametrize(("held_up", "left"), [(0.5, 0.5), (1.0, 1.0), (1.5, 1.5), (3.0, 1.0)])
def test_what_a_queue_makes_up_for(held_up: float, left: float) -> None:
    """Turns of the last hundredth of a second are made up for; of a longer hold-up, one is left."""
    limiter = _emptied(200, NOW)
    first, second = _waiting(limiter, NOW), _waiting(limiter, NOW)
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
    limiter = _emptied(200, NOW)
    tickets = [_waiting(limiter, NOW) for _ in range(3)]
    limiter.cancel()
    assert limiter.waiting == 2
    assert limiter.poll(tickets[1], NOW + 1.001 * TURN, FOREVER) is None
    assert limiter.waiting == 1


# Throttled logins.


def _let_in(limiter: RateLimiter, count: int, until: float) -> None:
    """Note so many logins that were let in during the half of a second before."""
    for number in range(count):
        limiter.accepted(until - 0.5 * (count - number) / count)


@given(nows, st.integers(0, 150), st.sampled_from([20, 200, 1000]))
def test_what_a_cut_leaves(now: float, share: int, rate: int) -> None:
    """The rate after a cut is little less than what was let in, never below one a second."""
    limiter = RateLimiter(rate)
    _let_in(limiter, min(share, rate), now)
    assert limiter.throttled(now)
    speed = max(CUT * min(share, rate / HEADROOM), min(LOWEST, rate / HEADROOM))
    assert limiter.current_rate == pytest.approx(speed * HEADROOM)
    assert (limiter.throttles, limiter.cuts) == (1, 1)


def test_what_was_let_in_long_ago_does_not_count() -> None:
    """The share is of the last second, with its very beginning."""
    limiter = RateLimiter(200)
    for at in (NOW - 1.01, NOW - 1.0, NOW - 0.5):
        limiter.accepted(at)
    limiter.throttled(NOW)
    assert limiter.current_rate == pytest.approx(2 * CUT * HEADROOM)


def test_how_often_it_is_cut() -> None:
    """A second passes from one cut to the next, and only the first ends the full rate."""
    limiter = RateLimiter(200)
    assert limiter.throttled(NOW)
    assert not limiter.throttled(NOW + CUT_PAUSE - 0.001)
    assert limiter.cuts == 1
    assert not limiter.throttled(NOW + CUT_PAUSE)
    assert (limiter.cuts, limiter.throttles) == (2, 3)
    assert not limiter.try_acquire(NOW + 10)  # at the full rate only
    later = NOW + 2 / REGAIN
    limiter.enqueue(later, FOREVER)
    assert limiter.current_rate == 200
    assert limiter.try_acquire(later)
    assert limiter.throttled(later)


@given(nows, st.integers(0, 100), st.floats(0.01, 15))
def test_how_the_rate_comes_back(now: float, share: int, later: float) -> None:
    """So much of the full rate each second."""
    limiter = RateLimiter(200)
    _let_in(limiter, share, now - 0.4)
    limiter.throttled(now)
    before = limiter.current_rate
    limiter._let_in.clear()
    limiter.enqueue(now + later, FOREVER)
    expected = min(before + later * REGAIN * 200, 200)
    assert limiter.current_rate == pytest.approx(expected)


@given(nows, st.integers(0, 100), st.integers(0, 400))
def test_the_moment_of_a_turn_while_the_rate_comes_back(
    now: float, share: int, before: int
) -> None:
    """After a cut a connect is told when its turn comes, and comes neither early nor in vain."""
    limiter = RateLimiter(200)
    _let_in(limiter, share, now - 0.9)
    limiter.throttled(now)
    limiter._let_in.clear()
    for _ in range(before):
        _waiting(limiter, now)
    ticket = _waiting(limiter, now)
    turn = now + ticket.wait
    # The turns of the others were taken when they came; what there is, is for this one.
    limiter._gone, limiter._permits = before, limiter._permits - before
    limiter._burst = FOREVER
    early = limiter.poll(ticket, turn - 0.01 * ticket.wait - 2e-6, FOREVER)
    assert early is not None
    assert limiter.poll(early, turn + 1e-6 * ticket.wait, FOREVER) is None


@given(nows)
def test_a_cut_ends_what_was_saved_up(now: float) -> None:
    """After a cut nothing is there at once; who owes a turn still owes it."""
    limiter = RateLimiter(200)
    limiter.throttled(now)
    assert not limiter.try_acquire(now)
    assert _waiting(limiter, now).wait > 0.2
    limiter = RateLimiter(200)
    _let_in(limiter, 100, now)
    limiter.throttled(now)
    assert _waiting(limiter, now).wait == pytest.approx(1 / (CUT * 100), rel=0.01)
    limiter = _emptied(200, now)
    limiter._permits = -3.0
    limiter.throttled(now)
    assert limiter._permits == -3.0


def test_what_is_let_in_is_the_least() -> None:
    """Answers that arrive after a cut say what the server lets in, and the rate follows them."""
    limiter = RateLimiter(200)
    limiter.throttled(NOW)
    _let_in(limiter, 100, NOW + 0.1)
    limiter.enqueue(NOW + 0.11, FOREVER)
    assert limiter.current_rate == pytest.approx(HEADROOM * 90 + 0.11 * REGAIN * 200)


def test_a_clock_that_stands_still() -> None:
    """Nothing comes in at the same moment, or an earlier one."""
    limiter = _emptied(200, NOW)
    first = _waiting(limiter, NOW)
    assert limiter.poll(first, NOW, FOREVER) == first
    assert limiter.poll(first, NOW - 0.5, FOREVER) == first
    assert limiter.poll(first, NOW - 10, FOREVER) == first
    assert limiter.poll(first, NOW + 1.001 * TURN, FOREVER) is None
