"""One prober for all connects that wait for the same server. Pure: times are handed in.

While a name still leads to the old server, each connect there costs a login and finds nothing. So
of all that wait, in all engines, threads and loops of the process, one tries about every half a
second; the others wait for what it finds.
"""

from __future__ import annotations

import random
import threading

from sqlalchemy_rds_iam._fork import renew_in_child

INTERVAL = 0.5
"""Seconds from the end of one attempt to the next, give or take a quarter."""

LEASE = 3.0
"""Seconds after which another one probes, too: an attempt may hang, or its task be cancelled."""


class ServerSearch:
    """The search for the right server at one endpoint.

    Attributes:
        found: how often it has been found again; what has changed since a connect began to wait
            tells it to go on.
        began_at: when the search under way began; None if there is none.
        attempts: how many connects have looked in vain since then.
        said: what the last of them has found instead, in words.
    """

    def __init__(self) -> None:
        self.found = self.attempts = 0
        self.began_at: float | None = None
        self.said = ""
        self._prober: object | None = None
        self._next_at = 0.0
        self.after_fork()
        renew_in_child(self)

    def begin(self, now: float) -> bool:
        """Note that a connect has not found the server; whether it is the first."""
        with self._lock:
            self.attempts += 1
            if self.began_at is not None:
                return False
            self.began_at, self.attempts = now, 1
            self._prober, self._next_at = None, _later(now)
            return True

    def end(self, now: float) -> float | None:
        """Note that a connect has found it; the seconds that took, if others were looking."""
        with self._lock:
            if self.began_at is None:
                return None
            lasted, self.began_at, self._prober = now - self.began_at, None, None
            self.found += 1
            return lasted

    def may_go(self, connect: object, found: int, now: float) -> bool:
        """Whether this connect is to try now: the others wait.

        As the prober it is the only one until `release`, or for as long as a `LEASE`.

        Args:
            connect: which.
            found: how often the server had been found when this connect began to wait.
            now: seconds.
        """
        with self._lock:
            if self.began_at is None or self.found != found:
                return True
            if now < self._next_at:
                return False
            self._prober, self._next_at = connect, now + LEASE
            return True

    def release(self, connect: object, now: float, *, gives_up: bool = False) -> None:
        """Note that this connect's attempt has ended, or, if it gives up, that another may go."""
        with self._lock:
            if self._prober is connect:
                self._prober, self._next_at = None, now if gives_up else _later(now)

    def after_fork(self) -> None:
        """Make the lock anew; who probed in the parent does not in the child."""
        self._lock = threading.Lock()
        self._prober, self._next_at = None, 0.0


def _later(now: float) -> float:
    return now + INTERVAL * random.uniform(0.75, 1.25)  # noqa: S311
