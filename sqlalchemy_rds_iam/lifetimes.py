"""How long things may be used: tokens, the credentials behind them, the memory of a failure. Pure.

All times are epoch seconds on the wall clock.
"""

from __future__ import annotations

import random

from sqlalchemy_rds_iam.errors import RdsIamError
from sqlalchemy_rds_iam.signing import Credentials, Token

LONGEST_MARGIN = 30.0
"""Seconds before its end that nothing is used any more: a login takes time, and clocks differ."""

LONGEST_RENEWAL = 540.0
"""Seconds before their expiry that credentials are renewed at the earliest.

botocore renews by itself with 15 minutes left, but only has to, and only then reports failure,
with less than 10; asked earlier it may hand out the same credentials again.
"""

SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds between attempts that nobody waits for, doubled from the one to the other."""


def stale_at(token: Token) -> float:
    """When the last third of a token's life begins, in which it is signed anew."""
    return token.expires_at - (token.expires_at - token.signed_at) / 3


class Holding:
    """The credentials in hand, and when to stop using them."""

    __slots__ = ("credentials", "dead_at", "fetched_at", "stale_at")

    def __init__(self, credentials: Credentials, now: float) -> None:
        self.credentials = credentials
        self.fetched_at = now
        self.stale_at = self.dead_at = float("inf")
        if (end := credentials.expires_at) is not None:
            life = end - now
            self.stale_at = end - min(life / 3, LONGEST_RENEWAL)
            self.dead_at = end - min(life / 10, LONGEST_MARGIN)


class Outage:
    """Fetches that failed in a row, and when to try again."""

    def __init__(self, error: RdsIamError, now: float, previous: Outage | None) -> None:
        self.error = error
        self.failed_at = now
        self.failures: int = 1 if previous is None else previous.failures + 1
        pause = min(SHORTEST_PAUSE * 2 ** min(self.failures - 1, 10), LONGEST_PAUSE)
        # Spread, so that a fleet that failed together does not come back together.
        self.retry_at = now + pause * random.uniform(0.5, 1.0)  # noqa: S311
