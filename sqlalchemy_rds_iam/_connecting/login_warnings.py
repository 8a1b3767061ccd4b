"""The gist of the notes on failed connects, in the log: ``str(error)`` does not have the notes.

A pool that cannot connect fails hundreds of times a minute, so each endpoint and cause is logged
once a minute.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic

from sqlalchemy_rds_iam._fork import renew_in_child
from sqlalchemy_rds_iam._masking import on_one_line

logger = logging.getLogger("sqlalchemy_rds_iam")

PERIOD = 60.0
"""Seconds for which the same endpoint and cause are not logged again."""


class LoginWarnings:
    """What this process has logged lately.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._logged_at: dict[tuple[object, str], float] = {}
        self.after_fork()
        renew_in_child(self)

    def warn(self, endpoint: object, cause: str, gist: str) -> None:
        """Log why a connect has failed, unless that has just been logged.

        Args:
            endpoint: where to.
            cause: a short name of what is behind it.
            gist: the same as a sentence, without a secret.
        """
        now = self._clock()
        key = str(endpoint), cause
        with self._lock:
            recent = {each: at for each, at in self._logged_at.items() if now - at < PERIOD}
            self._logged_at = {**recent, key: recent.get(key, now)}
        if key not in recent:
            logger.warning("connecting to %s failed: %s", on_one_line(endpoint), on_one_line(gist))

    def after_fork(self) -> None:
        """Make the lock anew, which another thread may have held."""
        self._lock = threading.Lock()


LOGIN_WARNINGS = LoginWarnings()
