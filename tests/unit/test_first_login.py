"""The first login of a user: tried again for a while by one connect, and the answer is told."""

from __future__ import annotations

import random
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam._passwords.cache_entry import CacheEntry
from sqlalchemy_rds_iam._ratelimit.limiter import RateLimiter
from sqlalchemy_rds_iam._ratelimit.retry_policy import (
    FIRST,
    NEVER,
    NO_TIME,
    SHORTEST_PAUSE,
    WIDEST_PAUSE,
    WINDOWS,
    Retry,
    RetryState,
)

NOW = 1000.0
LATENCY = 0.05

windows = st.sampled_from([WINDOWS["on"], WINDOWS["patient"]])


class Attempt:
    """One connect of a user who is refused until a given time."""

    def __init__(self, login: CacheEntry, began: float, timeout: float = 30.0) -> None:
        self.state = RetryState(began, began + timeout)
        self.login, self.limiter = login, RateLimiter(200)

    def refused(self, now: float, window: float) -> Retry | None:
        """What comes after a refusal."""
        return self.state.pause(self.login, self.limiter, now, certain=False, window=window)


def _until_told(attempt: Attempt, window: float) -> tuple[float, list[float]]:
    """When one that goes ahead gives up, and the pauses that it makes."""
    now, pauses = attempt.state.deadline - 30.0, list[float]()
    assert attempt.state.wait_for_first(attempt.login, now) == 0
    now += LATENCY
    while (retry := attempt.refused(now, window)) is not None:
        pauses.append(retry.pause)
        assert attempt.state.wait_for_first(attempt.login, now + retry.pause) == 0
        now += retry.pause + LATENCY
    return now, pauses


@given(windows, st.integers(0, 2**32))
def test_told_in_time(window: float, seed: int) -> None:
    """The answer comes within the window, logins included, after few tries spread over it."""
    random.seed(seed)
    attempt = Attempt(CacheEntry("db"), NOW)
    told, pauses = _until_told(attempt, window)
    assert window / 2 <= told - NOW <= window
    assert 2 <= len(pauses) <= 3 + window / 2
    for number, pause in enumerate(pauses):
        longest = min(SHORTEST_PAUSE * 2**number, WIDEST_PAUSE)
        assert pause <= longest
    assert pauses[0] >= SHORTEST_PAUSE / 2
    assert attempt.state.throttled == len(pauses)
    assert attempt.state.tried_for(attempt.login, told, window) == pytest.approx(
        told - NOW - LATENCY
    )


@given(windows)
def test_others_do_not_pay(window: float) -> None:
    """However often a new user is refused, the rate that is shared with others is not cut."""
    attempt = Attempt(CacheEntry("db"), NOW)
    _until_told(attempt, window)
    assert (attempt.limiter.cuts, attempt.limiter.throttles) == (0, 0)
    assert attempt.limiter.current_rate == 200


def test_told_at_once() -> None:
    """With no window there is nothing to wait for, nor where the keys cannot be good."""
    attempt = Attempt(CacheEntry("db"), NOW)
    assert attempt.refused(NOW, WINDOWS["off"]) is None
    assert attempt.state.throttled == 0


@pytest.mark.parametrize("timeout", [0.1, 1.0, 2.0, 10.0])
def test_its_own_deadline(timeout: float) -> None:
    """A connect that has less time than the window is told in that."""
    for _ in range(20):
        attempt, now = Attempt(CacheEntry("db"), NOW, timeout), NOW
        while (retry := attempt.refused(now, WINDOWS["patient"])) is not None:
            now += retry.pause
            assert now <= NOW + timeout - NO_TIME
        assert now <= NOW + timeout


def test_one_tries_for_all() -> None:
    """The others wait while it pauses and logs in, and go when it has been let in."""
    login, window = CacheEntry("db"), WINDOWS["patient"]
    first, other = Attempt(login, NOW), Attempt(login, NOW)
    assert first.state.wait_for_first(login, NOW) == 0
    retry = first.refused(NOW + LATENCY, window)
    assert retry is not None
    back = NOW + LATENCY + retry.pause
    assert login.first_until == back + FIRST
    assert other.state.wait_for_first(login, NOW + LATENCY) == pytest.approx(0.2)
    assert other.state.wait_for_first(login, back) == pytest.approx(0.02)
    login.accepted_at = back + LATENCY
    assert other.state.wait_for_first(login, back + LATENCY) == 0


def test_one_that_was_refused_beside_it() -> None:
    """It waits with the others: only one tries, though a slow login lets others go, too."""
    login, window = CacheEntry("db"), WINDOWS["patient"]
    first, other = Attempt(login, NOW), Attempt(login, NOW)
    first.state.wait_for_first(login, NOW)
    assert other.state.wait_for_first(login, NOW + FIRST) == 0  # that took too long
    assert first.refused(NOW + FIRST + LATENCY, window) is not None
    assert other.refused(NOW + FIRST + 2 * LATENCY, window) == Retry(0.0, slowed=False)
    assert other.state.throttled == 0
    assert other.state.wait_for_first(login, NOW + FIRST + 2 * LATENCY) > 0


@given(windows, st.integers(0, 2**32))
def test_the_others_are_told_too(window: float, seed: int) -> None:
    """When the one has given up, the others go at once, are refused, and that is the answer."""
    random.seed(seed)
    login = CacheEntry("db")
    others = [Attempt(login, NOW + 0.1 * number) for number in range(5)]
    told, _ = _until_told(Attempt(login, NOW), window)
    for other in others:
        assert other.state.wait_for_first(login, told) == 0
        assert other.refused(told + LATENCY, window) is None
        assert 0 < other.state.tried_for(login, told + LATENCY, window) <= window


@pytest.mark.parametrize("timeout", [0.5, 5.0])
def test_the_others_have_deadlines_of_their_own(timeout: float) -> None:
    """One with less time than the first goes while there is time for its own try."""
    login = CacheEntry("db")
    first = Attempt(login, NOW)
    first.state.wait_for_first(login, NOW)
    now, other = NOW + LATENCY, Attempt(login, NOW, timeout)
    for number in count():
        if number % 5 == 0 and first.refused(now, WINDOWS["patient"]) is None:
            break
        seconds = other.state.wait_for_first(login, now)
        now += seconds
        if not seconds:
            break
    assert now == pytest.approx(NOW + timeout - NO_TIME)


@given(windows)
def test_a_later_connect_begins_anew(window: float) -> None:
    """A user who was shut out for a while may be let in after it, and is tried as the first was."""
    login = CacheEntry("db")
    told, _ = _until_told(Attempt(login, NOW), window)
    later = Attempt(login, told + window)
    assert later.state.tried_for(login, told + window, window) == 0
    assert later.state.wait_for_first(login, told + window) == 0
    assert later.refused(told + window + LATENCY, window) is not None


def test_handed_on() -> None:
    """Where the one that goes ahead is cancelled, another goes ahead, at once."""
    login, window = CacheEntry("db"), WINDOWS["patient"]
    first, other, third = (Attempt(login, NOW) for _ in range(3))
    first.state.wait_for_first(login, NOW)
    assert first.refused(NOW + LATENCY, window) is not None
    other.state.hand_on(login)  # it goes nowhere
    assert other.state.wait_for_first(login, NOW + LATENCY) > 0
    first.state.hand_on(login)
    assert other.state.wait_for_first(login, NOW + LATENCY) == 0
    assert third.state.wait_for_first(login, NOW + LATENCY) > 0
    retry = other.refused(NOW + 2 * LATENCY, window)
    assert retry is not None
    assert retry.pause > 0


def test_nothing_to_hand_on() -> None:
    """Where a login was accepted, the end of the one that went ahead means nothing."""
    login = CacheEntry("db")
    first = Attempt(login, NOW)
    first.state.wait_for_first(login, NOW)
    login.accepted_at = NOW + LATENCY
    first.state.hand_on(login)
    assert login.first_until != NEVER


def test_what_was_known_stays_known() -> None:
    """A first login that is given up does not overwrite when one was accepted long before."""
    login = CacheEntry("db")
    login.accepted_before = NOW - 60
    attempt = Attempt(login, NOW)
    attempt.state.throttled = 1
    attempt.state.give_up(login)
    assert login.accepted_before == NOW - 60
