"""When a connect tries again, to the moment; and when it does not any more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam._passwords.cache_entry import CacheEntry
from sqlalchemy_rds_iam._ratelimit.limiter import RateLimiter
from sqlalchemy_rds_iam._ratelimit.retry_policy import (
    CURRENT,
    FIRST,
    NEVER,
    NO_TIME,
    Retry,
    RetryState,
)

NOW = 1000.0


def _login(accepted_at: float = NEVER) -> CacheEntry:
    entry = CacheEntry("db")
    entry.accepted_at = accepted_at
    return entry


def _pause(
    state: RetryState,
    login: CacheEntry,
    now: float,
    *,
    certain: bool = False,
    window: float = 0.0,
) -> Retry | None:
    return state.pause(login, RateLimiter(200), now, certain=certain, window=window)


@pytest.mark.parametrize(("throttled", "longest"), [(0, 1.0), (1, 2.0), (2, 2.0), (5000, 2.0)])
def test_pauses(throttled: int, longest: float) -> None:
    """Of one second, and then of two, and at random from their second half."""
    pauses = []
    for _ in range(200):
        state = RetryState(NOW, NOW + 1e6)
        state.throttled = throttled
        retry = _pause(state, _login(NOW), NOW)
        assert retry is not None
        assert state.throttled == throttled + 1
        pauses.append(retry.pause)
    assert longest / 2 <= min(pauses) < 0.6 * longest
    assert 0.9 * longest < max(pauses) <= longest


@given(st.floats(NO_TIME, 0.5))
def test_little_time(left: float) -> None:
    """Where less is left than a pause, some of it is waited, and some is left for the attempt."""
    pauses = []
    for _ in range(50):
        retry = _pause(RetryState(NOW - 9, NOW + left), _login(NOW), NOW)
        assert retry is not None
        pauses.append(retry.pause)
    assert left / 2 * 0.999 <= min(pauses) < max(pauses) < left
    assert max(pauses) > left * 0.75


@pytest.mark.parametrize(("left", "tries"), [(NO_TIME, True), (NO_TIME - 0.001, False)])
@pytest.mark.parametrize(("accepted", "forgotten"), [(-1.0, True), (0.0, False), (5.0, False)])
def test_no_time(left: float, tries: bool, accepted: float, forgotten: bool) -> None:
    """Without time it gives up; and if no login was accepted meanwhile, it was no throttling."""
    login = _login(NOW + accepted)
    retry = _pause(RetryState(NOW, NOW + 10), login, NOW + 10 - left)
    assert (retry is not None) == tries
    assert login.accepted_at == (NEVER if forgotten and not tries else NOW + accepted)


@pytest.mark.parametrize(
    ("age", "certain", "slowed"),
    [
        (0.0, False, True),
        (CURRENT - 0.001, False, True),
        (CURRENT, False, False),
        (CURRENT, True, True),
        (float("inf"), True, True),
        (float("inf"), False, False),
    ],
)
def test_who_slows_down_others(age: float, certain: bool, slowed: bool) -> None:
    """A user whom the server has let in of late, or of whom it says so; the rate is cut once."""
    limiter, state, login = RateLimiter(200), RetryState(NOW, NOW + 30), _login(NOW - age)
    retry = state.pause(login, limiter, NOW, certain=certain, window=15.0)
    assert retry is not None
    assert retry.slowed == slowed
    assert limiter.cuts == slowed
    again = state.pause(login, limiter, NOW, certain=certain, window=15.0)
    assert again is not None
    assert not again.slowed


def test_a_new_connect() -> None:
    """It has tried nothing yet."""
    state = RetryState(NOW, NOW + 30)
    assert (state.retried, state.throttled, state.has_replaced, state.search) == (0, 0, False, None)
    assert state.deadline == NOW + 30


def test_giving_up_without_having_tried() -> None:
    """What was not throttled says nothing about the past."""
    login = _login(NOW - 5)
    RetryState(NOW, NOW + 10).give_up(login)
    assert login.accepted_at == NOW - 5


def test_the_first_login() -> None:
    """It waits for nothing; the others do, a little at a time, for a second at most."""
    login = _login()
    first, other = RetryState(NOW, NOW + 30), RetryState(NOW, NOW + 30)
    assert first.wait_for_first(login, NOW) == 0
    assert login.first_until == NOW + FIRST
    assert first.wait_for_first(login, NOW + 0.5) == 0
    assert other.wait_for_first(login, NOW) == pytest.approx(0.02)
    assert other.wait_for_first(login, NOW + FIRST - 0.01) == pytest.approx(0.01)
    assert other.wait_for_first(login, NOW + FIRST) == 0
    assert other.wait_for_first(login, NOW + FIRST + 5) == 0
    login.accepted_at = NOW
    assert RetryState(NOW, NOW + 30).wait_for_first(login, NOW + 0.5) == 0


def test_a_first_login_with_little_time() -> None:
    """The others wait no longer for it than it has itself."""
    login = _login()
    RetryState(NOW, NOW + 0.3).wait_for_first(login, NOW)
    assert login.first_until == NOW + 0.3


def test_after_the_first_login() -> None:
    """Where a login was accepted, none goes ahead."""
    login = _login(NOW - 100)
    assert RetryState(NOW, NOW + 30).wait_for_first(login, NOW) == 0
    assert login.first_until == NEVER
