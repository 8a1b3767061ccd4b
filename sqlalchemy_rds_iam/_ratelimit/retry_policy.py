"""When a connect tries again, and how often: after a refusal, and before the first login of all.

Nothing here sleeps or looks at a clock.
"""

from __future__ import annotations

import random
import threading
from typing import Any, NamedTuple, Protocol

from sqlalchemy_rds_iam._ratelimit.limiter import RateLimiter

RECENT, CURRENT = 1.0, 10.0
"""Seconds for which a login that was accepted proves the credentials good, and that the server
still lets this user in."""

SHORTEST_PAUSE, LONGEST_PAUSE, WIDEST_PAUSE = 1.0, 2.0, 4.0
"""Seconds between attempts of a throttled connect: the first time, from then on, and where its user
has never been let in. What is throttled by the second need not be tried again within it."""

NO_TIME = 0.25
"""Seconds to the deadline with which another attempt makes no sense."""

FIRST = 1.0
"""Seconds for which the others wait for what comes of the first login of all, or of each try of it
that follows."""

WINDOWS = {"off": 0.0, "on": 3.0, "patient": 15.0}
"""Seconds from the first refusal of a user who has never been let in until it is the answer, by
``rds_iam_throttle_retry``."""

_POLL, _SLOW_POLL = 0.02, 0.2
"""Seconds after which a connect that waits for the first login looks again: while that is under
way, and while it pauses."""

NEVER = float("-inf")


class LoginHistory(Protocol):
    """The logins at one place so far.

    Attributes:
        accepted_at: when a login was accepted there for the last time; `NEVER` if none was.
        accepted_before: when that was until it was taken back; `NEVER` if it never was.
        first_until: until when the first login of all goes ahead; `NEVER` before it.
        first_refused: when it was refused in its first try; `NEVER` if it was not.
        lock: held while one of those that come at once is chosen to go ahead.
    """

    accepted_at: float
    accepted_before: float
    first_until: float
    first_refused: float
    lock: threading.Lock


class Retry(NamedTuple):
    """Try again.

    Attributes:
        pause: seconds to let pass before.
        slowed: whether this is what has just ended the full rate.
    """

    pause: float
    slowed: bool


class RetryState:
    """What one connect has tried so far. All times are seconds on one monotonic clock.

    Args:
        began: when it began.
        deadline: when it has to be through.

    Attributes:
        retried: how many logins it has begun after its first.
        throttled: how many of its logins were taken for throttled.
        has_replaced: whether other credentials were asked for after a refusal.
        has_looked: whether a failure has made it look at the CA file again.
        gives_up_at: until when it looks for the right server, if it does.
        search: what the provider has found out so far, where it looks for another password.
    """

    __slots__ = (
        *("_began", "_first", "deadline", "gives_up_at", "has_looked", "has_replaced", "retried"),
        *("search", "throttled"),
    )

    def __init__(self, began: float, deadline: float) -> None:
        self._began = began
        self._first = self.has_looked = self.has_replaced = False
        self.search: Any = None
        self.gives_up_at: float | None = None
        self.deadline = deadline
        self.retried = self.throttled = 0

    def wait_for_first(self, login: LoginHistory, now: float) -> float:
        """Seconds to wait, and then to ask again, while the first login of all is under way.

        Until one has been let in, a throttled login is lost. Many that a process begins at once
        must not be in the way of that one, nor share its fate.
        """
        if login.accepted_at != NEVER or self._first:
            return 0.0
        with login.lock:
            if login.first_until == NEVER:
                self._first = True
                login.first_until = min(now + FIRST, self.deadline)
                return 0.0
        poll = _POLL if now >= login.first_until - FIRST else _SLOW_POLL
        return max(min(poll, login.first_until - now, self.deadline - NO_TIME - now), 0.0)

    def hand_on(self, login: LoginHistory) -> None:
        """It does not go on. If it was the one that goes ahead, another may."""
        if self._first and login.accepted_at == NEVER:
            self._first, login.first_until = False, NEVER

    def pause(
        self, login: LoginHistory, limiter: RateLimiter, now: float, *, certain: bool, window: float
    ) -> Retry | None:
        """When to try again after a refusal that is taken for throttling; None if there is no time.

        Args:
            login: what was refused.
            limiter: of the endpoint; its rate is cut if there is too much going on.
            now: the time.
            certain: whether the server said so.
            window: seconds from its first refusal for which a user is tried who has never been let
                in.
        """
        if not certain and login.accepted_at == NEVER:
            with login.lock:
                return self._pause_of_first(login, now, window)
        # The rate is shared with other users, who are not to pay for one that is shut out.
        current = certain or now - login.accepted_at < CURRENT
        slowed = current and limiter.throttled(now)
        self.throttled += 1
        left = self.deadline - now
        if left < NO_TIME:
            self.give_up(login)
            return None
        return Retry(_spread(self.throttled, LONGEST_PAUSE, left), slowed)

    def _pause_of_first(self, login: LoginHistory, now: float, window: float) -> Retry | None:
        """The same for a user who has never been let in, whose refusals cut no rate.

        One connect tries for all. Those that came meanwhile try once more when it has found out,
        and that is the answer; what comes later begins anew.
        """
        if login.first_refused + window < self._began:
            login.first_refused = now
        # The login that follows takes time, too.
        left = min(login.first_refused + window, self.deadline) - NO_TIME - now
        if left < NO_TIME:
            login.first_until = min(login.first_until, now)
            return None
        if not self._first and now < login.first_until:
            return Retry(0.0, slowed=False)
        self._first = True
        self.throttled += 1
        pause = _spread(self.throttled, WIDEST_PAUSE, left)
        login.first_until = now + pause + FIRST
        return Retry(pause, slowed=False)

    def tried_for(self, login: LoginHistory, now: float, window: float) -> float:
        """Seconds for which a user who has never been let in was tried, as far as it was there."""
        if login.first_refused + window < self._began:
            return 0.0
        return now - max(login.first_refused, self._began)

    def give_up(self, login: LoginHistory) -> None:
        """There is no time left. If no login was accepted all the while, it was no throttling."""
        if self.throttled and NEVER < login.accepted_at < self._began:
            login.accepted_before, login.accepted_at = login.accepted_at, NEVER


def _spread(attempts: int, longest: float, left: float) -> float:
    """Seconds to let pass after so many throttled attempts, twice as many each time, before `left`.

    Spread, so that those that were throttled together do not come back together ("full jitter"
    would let some come back at once). Source: "Exponential Backoff And Jitter", AWS Architecture
    Blog.
    """
    pause = min(SHORTEST_PAUSE * 2.0 ** min(attempts - 1, 8), longest)
    return min(random.uniform(0.5, 1.0) * pause, random.uniform(0.5, 1.0) * left)  # noqa: S311
