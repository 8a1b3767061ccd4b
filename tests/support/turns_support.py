"""A limiter whose turns are taken one by one, at times that the test says."""

from __future__ import annotations

from hypothesis import strategies as st

from sqlalchemy_rds_iam._ratelimit.limiter import HEADROOM, RateLimiter, Ticket

NOW = 1000.0
FOREVER = float("inf")
TURN = HEADROOM / 200
"""Seconds that a turn takes at the rate of most of these tests."""

# Where times begin is of no account, nor whether they are before or after the clock's zero.
nows = st.sampled_from([0.25, 1.0, NOW, 1e6])


def take_all(limiter: RateLimiter, now: float) -> int:
    """Take what there is without waiting; how many turns that were."""
    for taken in range(limiter.rate + 1):
        if not limiter.try_acquire(now):
            return taken
    raise AssertionError


def emptied(rate: int, now: float) -> RateLimiter:
    """A limiter whose burst has just been taken, for which no connect waits."""
    limiter = RateLimiter(rate)
    take_all(limiter, now)
    assert limiter.waiting == 0
    return limiter


def waiting(limiter: RateLimiter, now: float, latest: float = FOREVER) -> Ticket:
    """Let a connect take its place in the queue."""
    ticket = limiter.enqueue(now, latest)
    assert ticket is not None
    return ticket
