"""What a refused login means: the answer, or that others use the ceiling, too.

RDS refuses a throttled login in the same words as one that is not allowed. What tells them apart is
the past: a user who has been let in before probably still is. Only RDS Proxy says outright that it
throttles ("Troubleshooting for RDS Proxy" in the user guide).

Nothing here sleeps or looks at a clock.
"""

from __future__ import annotations

import random
from typing import NamedTuple, Protocol

from sqlalchemy_rds_iam._ratelimit.limiter import RateLimiter

RECENT, CURRENT = 1.0, 10.0
"""Seconds for which a login that was accepted proves the credentials good, and that the server
still lets this user in."""

SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 2.0
"""Seconds between attempts of a throttled connect, doubled from the one to the other. What is
throttled by the second need not be tried again within it."""

NO_TIME = 0.25
"""Seconds to the deadline with which another attempt makes no sense."""

FIRST = 1.0
"""Seconds for which the others wait for what comes of the first login of all."""

_POLL = 0.02

NEVER = float("-inf")


class LoginHistory(Protocol):
    """The logins at one place so far.

    Attributes:
        accepted_at: when a login was accepted there for the last time; `NEVER` if none was.
        first_until: until when the first login of all goes ahead; `NEVER` before it.
    """

    accepted_at: float
    first_until: float


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
    """

    __slots__ = ("_began", "_first", "_replaced", "deadline", "retried", "throttled")

    def __init__(self, began: float, deadline: float) -> None:
        self._began = began
        self._first = self._replaced = False
        self.deadline = deadline
        self.retried = self.throttled = 0

    def wait_for_first(self, login: LoginHistory, now: float) -> float:
        """Seconds to wait, and then to ask again, while the first login of all is under way.

        Until one has been let in, a throttled login is lost. Many that a process begins at once
        must not be in the way of that one, nor share its fate.
        """
        if login.accepted_at != NEVER or self._first:
            return 0.0
        if login.first_until == NEVER:
            self._first = True
            login.first_until = min(now + FIRST, self.deadline)
            return 0.0
        return max(min(_POLL, login.first_until - now), 0.0)

    def doubt(self, login: LoginHistory, now: float, *, patient: bool) -> bool:
        """Whether to try new credentials first: once, and not if others have just been let in.

        Args:
            login: what was refused.
            now: the time.
            patient: whether a refusal may be taken for throttling at all.
        """
        if self._replaced or (patient and now - login.accepted_at <= RECENT):
            return False
        self._replaced = True
        return True

    def again(
        self, login: LoginHistory, limiter: RateLimiter, now: float, *, certain: bool
    ) -> Retry | None:
        """Take a refusal for throttling, if that is likely. None if it is the answer.

        Args:
            login: what was refused.
            limiter: of the endpoint; its rate is cut if there is too much going on.
            now: the time.
            certain: whether the server said so.
        """
        if login.accepted_at == NEVER and not certain:
            return None
        # The rate is shared with other users, who are not to pay for one that is shut out.
        current = certain or now - login.accepted_at < CURRENT
        slowed = current and limiter.throttled(now)
        self.throttled += 1
        left = self.deadline - now
        if left < NO_TIME:
            self.give_up(login)
            return None
        return Retry(min(_spread(self.throttled), random.uniform(0.5, 1.0) * left), slowed)  # noqa: S311

    def give_up(self, login: LoginHistory) -> None:
        """There is no time left. If no login was accepted all the while, it was no throttling."""
        if self.throttled and login.accepted_at < self._began:
            login.accepted_at = NEVER


def _spread(attempts: int) -> float:
    """Seconds to let pass after so many throttled attempts.

    Spread, so that those that were throttled together do not come back together ("full jitter"
    would let some come back at once). Source: "Exponential Backoff And Jitter", AWS Architecture
    Blog.
    """
    longest = min(SHORTEST_PAUSE * 2.0 ** min(attempts - 1, 10), LONGEST_PAUSE)
    return random.uniform(0.5, 1.0) * longest  # noqa: S311
