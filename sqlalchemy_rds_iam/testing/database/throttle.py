"""How many authentications a second the emulated IAM takes before it throttles."""

from __future__ import annotations

import math
from collections import deque


class Ceiling:
    """At most so many admissions in any one second (for a rate below one: in any 1/rate seconds).

    A window that slides, not a bucket: what it lets through in a second is what it says.
    """

    def __init__(self, rate: float | None) -> None:
        """Allow `rate` per second, None for any number.

        Raises:
            ValueError: The rate is not above zero.
        """
        if rate is not None and not rate > 0:
            raise ValueError(f"ceiling must be above zero or None, not {rate}")
        self.rate = rate
        self._window = 1.0 if rate is None else max(1.0, 1 / rate)
        self._most = 0 if rate is None else max(1, math.floor(rate))
        self._admitted: deque[float] = deque()

    def admit(self, now: float) -> bool:
        """Whether one more fits in at `now`, seconds on a clock that never goes back."""
        if self.rate is None:
            return True
        while self._admitted and now - self._admitted[0] >= self._window:
            self._admitted.popleft()
        if len(self._admitted) >= self._most:
            return False
        self._admitted.append(now)
        return True
