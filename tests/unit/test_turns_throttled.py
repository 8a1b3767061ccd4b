"""What a throttled login does to the turns: how far the rate falls, and how it comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from turns_support import FOREVER, NOW, emptied, nows, waiting

from sqlalchemy_rds_iam._ratelimit.limiter import (
    CUT,
    CUT_PAUSE,
    HEADROOM,
    LOWEST,
    REGAIN,
    RateLimiter,
)


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
        waiting(limiter, now)
    ticket = waiting(limiter, now)
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
    assert waiting(limiter, now).wait > 0.2
    limiter = RateLimiter(200)
    _let_in(limiter, 100, now)
    limiter.throttled(now)
    assert waiting(limiter, now).wait == pytest.approx(1 / (CUT * 100), rel=0.01)
    limiter = emptied(200, now)
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
