"""How long each check may take, so that the whole examination ends in time. Pure.

A check may take a share of what is left of the total when it begins, so the total holds whatever
hangs, and what one check leaves unused goes to those that follow. The checks of the server and the
one of the credentials do not need each other: they run at the same time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

TOTAL = 12.0
"""Seconds that an examination may take, unless the user says otherwise."""

SERVER = ("Name", "Network", "TLS")
"""The checks of the server, one after the other."""

ASIDE = "Identity"
"""The check that runs beside them."""

SHARES = {
    "Options": 0.5,
    "Name": 0.3,
    "Network": 0.4,
    "TLS": 0.5,
    ASIDE: 0.55,
    "Token": 0.3,
    "Login": 0.7,
    "Database": 1.0,
}
"""Of the time that is left when a check begins."""


class Schedule:
    """The deadlines of one examination.

    Args:
        total: seconds for all of it.
        clock: seconds on a clock that never goes back.
    """

    def __init__(self, total: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self._clock = clock
        self._end = clock() + total
        self._deadlines: dict[str, float] = {}

    def begin(self, check: str) -> float:
        """Begin a check; the seconds that it may take."""
        now = self._clock()
        self._deadlines[check] = now + SHARES[check] * max(0.0, self._end - now)
        return self._deadlines[check] - now

    def left(self, check: str, share: float = 1.0) -> float:
        """The seconds that a check has left, or a share of them; never negative."""
        return max(0.0, self._deadlines[check] - self._clock()) * share
