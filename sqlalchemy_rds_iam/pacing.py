"""How fast we may connect: turns at a signed endpoint, and what a throttled login changes.

AWS throttles IAM authentication; for years it documented a ceiling of 200 new connections a second,
and a login above it is refused in the same words as any other. So connects take turns: first come,
first served, out of a token bucket that holds a small burst (RFC 2697 describes such a meter).
When a login is throttled all the same, others use the ceiling, too: the rate is cut and won back
bit by bit, as TCP does (RFC 5681).

Nothing here sleeps or looks at a clock: whoever takes a turn says when it is, and waits.
"""

from __future__ import annotations

import os
import random
import threading
import weakref
from typing import NamedTuple

HEADROOM = 1.03
"""How much more than its share of a second each turn takes. It pays for the burst, and for logins
that begin evenly and arrive in waves."""

CUT = 0.6
"""What is left of the rate after a throttled login."""

CUT_PAUSE = 1.0
"""Seconds from one cut to the next: the logins that are under way know nothing of the first yet."""

REGAIN = 0.05
"""The share of the full rate that is won back each second."""

LOWEST = 1.0
"""The lowest rate that throttling leads to, in connects a second."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between attempts of a throttled connect, doubled from the one to the other."""

_ROUNDING = 1e-6


class Turn(NamedTuple):
    """A place in the queue, and how long to wait for it."""

    number: int
    wait: float


class Crowd(Exception):  # noqa: N818  (the listener makes an error of it)
    """There is no turn in time.

    Attributes:
        waiting: how many connects are before this one.
        seconds: how long it would have had to wait.
    """

    def __init__(self, waiting: int, seconds: float) -> None:
        super().__init__(waiting, seconds)
        self.waiting = waiting
        self.seconds = seconds


class Pace:
    """The turns at one signed endpoint in this process. Thread-safe; never waits.

    No second ever holds more than `rate` connects that were told to go, however late they come back
    for it. All times are seconds on one monotonic clock.

    Args:
        rate: most connects that may begin in any second.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.cuts = 0
        self._lock = threading.Lock()
        self._full = self._speed = rate / HEADROOM
        # A second can hold these and what flows in meanwhile.
        self._burst = self._tokens = max(1.0, rate - self._full)
        self._filled_at = 0.0
        self._cut_at = float("-inf")
        self._issued = self._gone = 0
        _everybody.add(self)

    @property
    def current_rate(self) -> float:
        """Connects a second at the moment: `rate`, or less for a while after throttling."""
        return self.rate * self._speed / self._full

    def go(self, now: float) -> bool:
        """Take a turn if that means no waiting. Returns whether to go."""
        with self._lock:
            tokens = self._fill(now) - 1
            if tokens < self._issued - self._gone:
                return False
            self._tokens = tokens
            return True

    def take(self, now: float, latest: float) -> Turn | None:
        """Take a turn; None is the signal to go at once.

        Args:
            now: the time.
            latest: when the connect has to begin at the latest.

        Raises:
            Crowd: there is no turn by then. None is taken.
        """
        with self._lock:
            ahead = self._issued - self._gone
            missing = ahead + 1 - self._fill(now)
            if missing <= 0:
                self._tokens -= 1
                return None
            wait = missing / self._speed
            if now + wait > latest:
                raise Crowd(ahead, wait)
            self._issued += 1
            return Turn(self._issued, wait)

    def call(self, turn: Turn, now: float, latest: float) -> Turn | None:
        """Ask again when the wait is over; None is the signal to go.

        There may be more to wait for: the rate may have been cut, and when a process was frozen,
        everybody comes at once.

        Args:
            turn: the one taken.
            now: the time.
            latest: when the connect has to begin at the latest.

        Raises:
            Crowd: it is not the turn's by then. It is to be given back.
        """
        with self._lock:
            tokens = self._fill(now)
            if tokens >= self._burst:
                # Nobody has come for a while, so whoever was before this one is not going to.
                self._gone = max(self._gone, turn.number - 1)
            ahead = max(turn.number - 1 - self._gone, 0)
            missing = ahead + 1 - tokens
            if missing > _ROUNDING:
                wait = missing / self._speed
                if now + wait > latest:
                    raise Crowd(ahead, wait)
                return Turn(turn.number, wait)
            self._tokens = tokens - 1
            self._gone += 1
            return None

    def give_back(self) -> None:
        """Leave the queue without having gone."""
        with self._lock:
            self._gone += 1

    def throttled(self, now: float) -> bool:
        """Note a throttled login and cut the rate. Returns whether it was the full rate."""
        with self._lock:
            self._fill(now)
            if now - self._cut_at < CUT_PAUSE:
                return False
            was_full = self._speed == self._full
            self._cut_at = now
            self._speed = max(self._speed * CUT, min(LOWEST, self._full))
            self.cuts += 1
            return was_full

    def _fill(self, now: float) -> float:
        tokens, passed = self._tokens, now - self._filled_at
        if passed > 0:
            self._filled_at = now
            tokens += passed * self._speed
            if tokens > self._burst:  # noqa: PLR1730  (min() takes longer)
                tokens = self._burst
            self._tokens = tokens
            if self._speed < self._full:
                self._speed = min(self._speed + passed * REGAIN * self._full, self._full)
        return tokens

    def _after_fork(self) -> None:
        # Those who wait are threads and tasks of the parent.
        self._lock = threading.Lock()
        self._gone = self._issued


def pause(attempts: int) -> float:
    """Seconds to let pass after so many attempts of one connect that were throttled.

    Spread ("full jitter" would let some come back at once), so that those that were throttled
    together do not come back together. Source: "Exponential Backoff And Jitter", AWS Architecture
    Blog.
    """
    longest = min(SHORTEST_PAUSE * 2.0 ** min(attempts - 1, 10), LONGEST_PAUSE)
    return random.uniform(0.5, 1.0) * longest  # noqa: S311


_everybody: weakref.WeakSet[Pace] = weakref.WeakSet()
_paces: weakref.WeakValueDictionary[tuple[str, int, int], Pace] = weakref.WeakValueDictionary()


def pace_at(host: str, port: int, rate: int) -> Pace | None:
    """The turns that all engines of this process share at an endpoint, if the rate is the same.

    Engines with rates of their own have turns of their own, so that a ceiling can be divided.

    Args:
        host: of the signed endpoint; `port` likewise.
        port: see `host`.
        rate: most connects a second; 0 for no turns at all.
    """
    if rate == 0:
        return None
    pace = Pace(rate)
    return _paces.setdefault((host, port, rate), pace)


def _after_fork() -> None:
    for pace in list(_everybody):
        pace._after_fork()  # noqa: SLF001


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
