"""How long things may be used: tokens, what they are made of, the memory of a failure. Pure.

All times are epoch seconds on the wall clock.
"""

from __future__ import annotations

import random
from typing import NamedTuple, Protocol

from sqlalchemy_rds_iam._passwords.identity import Identity
from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam.errors import RdsIamError

LONGEST_MARGIN = 30.0
"""Seconds before its end that nothing is used any more: a login takes time, and clocks differ."""

LONGEST_RENEWAL = 540.0
"""Seconds before their expiry that credentials are renewed at the earliest.

botocore renews by itself with 15 minutes left, but only has to, and only then reports failure,
with less than 10; asked earlier it may hand out the same credentials again.
"""

SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds between attempts that no caller waits for, doubled from the one to the other."""

CHEAP_PAUSE = 5.0
"""In place of `LONGEST_PAUSE` after refusals, where fetching anew is cheap: a file is read, or
GetSecretValue called, of which each account may make 10,000 calls a second ("AWS Secrets Manager
quotas" in its user guide)."""


def stale_at(token: IssuedPassword) -> float:
    """When the last third of a token's life begins, in which it is signed anew."""
    return token.signed_at + (token.expires_at - token.signed_at) * 2 / 3


class Lifetimes(NamedTuple):
    """When to renew something, and when to stop using it.

    Attributes:
        stale_at: epoch seconds; `dead_at` likewise.
        dead_at: see `stale_at`.
        longest_pause: the most seconds between two fetches of it while it is refused.
    """

    stale_at: float
    dead_at: float
    longest_pause: float = LONGEST_PAUSE


class Fetched(Protocol):
    """What a source has fetched: credentials, or a secret."""

    @property
    def expires_at(self) -> float | None:
        """When it expires, in epoch seconds; None if that is unknown, and for secrets."""

    def identity(self) -> Identity:
        """Who logs in with it."""

    def lifetimes(self, now: float) -> Lifetimes:
        """When to renew it and when to stop using it, if it was fetched `now`.

        Raises:
            RdsIamError: it cannot be used at all.
        """


class Cached:
    """What was fetched last, and when to stop using it."""

    __slots__ = ("dead_at", "fetched", "fetched_at", "longest_pause", "stale_at")

    def __init__(self, fetched: Fetched, now: float) -> None:
        self.stale_at, self.dead_at, self.longest_pause = fetched.lifetimes(now)
        self.fetched = fetched
        self.fetched_at = now


class Outage:
    """Fetches that failed in a row, and when to try again."""

    def __init__(self, error: RdsIamError, now: float, previous: Outage | None) -> None:
        self.error = error
        self.began_at: float = now if previous is None else previous.began_at
        self.failed_at = now
        self.failures: int = 1 if previous is None else previous.failures + 1
        pause = min(SHORTEST_PAUSE * 2 ** min(self.failures - 1, 10), LONGEST_PAUSE)
        # Spread, so that a fleet that failed together does not come back together.
        self.retry_at = now + pause * random.uniform(0.5, 1.0)  # noqa: S311
