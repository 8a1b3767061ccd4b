"""How fast we may connect: the rate limiter of an endpoint, and what a throttled login changes.

AWS throttles IAM authentication; for years it documented a ceiling of 200 new connections a second,
and a login above it is refused in the same words as any other. So connects take turns: first come,
first served, out of a token bucket that holds a small burst (RFC 2697 describes such a meter).
When a login is throttled all the same, others use the ceiling, too: the rate is cut to little less
than what was let in, which is this process's share of the ceiling, and won back bit by bit, as TCP
does (additive increase, multiplicative decrease, RFC 5681). However many processes there are, their
shares make up the ceiling.

Nothing here sleeps or looks at a clock: the caller says what time it is, and waits.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy_rds_iam._fork import renew_in_child

HEADROOM = 1.03
"""How much more than its share of a second each turn takes. It pays for the burst, and for logins
that begin evenly and arrive in waves."""

BURST = 0.02
"""Seconds' worth of turns that may be taken at once, as by a pool that is filled."""

CROWDED = 0.1
LULL = 0.05
"""A queue of so many seconds' worth of connects stands still for so many seconds, once after a
burst: among so many the logins of the burst arrive late, and their second would hold too many."""

CATCH_UP = 0.01
"""The longest hold-up, in seconds, that a queue makes up for. After a longer one the logins that
were on their way arrive together."""

CUT = 0.9
"""The rate after a throttled login, as a share of what was let in during the last second."""

CUT_PAUSE = 1.0
"""Seconds from one cut to the next: the logins that are under way know nothing of the first yet."""

REGAIN = 0.05
"""The share of the full rate that is won back each second."""

LOWEST = 1.0
"""The lowest rate that throttling leads to, in connects a second."""

_SECOND = 1.0
_ROUNDING = 1e-6


class Ticket(NamedTuple):
    """A place in the queue, and how long to wait for it."""

    number: int
    wait: float


class QueueTimeout(Exception):  # noqa: N818  (the listener makes an error of it)
    """There is no turn in the queue in time.

    Attributes:
        waiting: how many connects are before this one.
        seconds: how long it would have had to wait.
    """

    def __init__(self, waiting: int, seconds: float) -> None:
        super().__init__(waiting, seconds)
        self.waiting = waiting
        self.seconds = seconds


class RateLimiter:
    """The turns at one signed endpoint in this process. Thread-safe; never waits.

    No second ever holds more than `rate` connects that were told to go, however late they come back
    for it. All times are seconds on one monotonic clock.

    Args:
        rate: most connects that may begin in any second.

    Attributes:
        accepted: to be told when a login was let in: what is let in may go on, whatever was
            throttled. Not a method, as each connect would pay for it.
        throttles: logins so far that were taken for throttled.
        cuts: how often that has cut the rate.
    """

    _lull = LULL

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.throttles = self.cuts = 0
        self._lock = threading.Lock()
        self._full = self._speed = rate / HEADROOM
        # A second can hold these and what flows in meanwhile.
        self._burst = self._permits = max(1.0, BURST * rate)
        self._rested = True
        self._filled_at = 0.0
        self._cut_at = float("-inf")
        self._let_in: deque[float] = deque(maxlen=rate)
        self.accepted: Callable[[float], None] = self._let_in.append
        self._issued = self._gone = 0
        renew_in_child(self)

    @property
    def current_rate(self) -> float:
        """Connects a second at the moment: `rate`, or less for a while after throttling."""
        return self.rate * self._speed / self._full

    @property
    def waiting(self) -> int:
        """How many connects wait for their turn."""
        return max(self._issued - self._gone, 0)

    def try_acquire(self, now: float) -> bool:
        """Take a turn if there is one at the full rate and no connect waits; return whether so."""
        # What each connect pays: a `with` would be a third of it, and a call of `_fill` another.
        lock, full = self._lock, self._full
        lock.acquire()
        try:
            tokens = self._permits + (now - self._filled_at) * full
            if tokens < 1.0 or self._speed != full or self._issued > self._gone:
                return False
            if tokens > self._burst:
                tokens = self._burst
                self._rested = True
            self._filled_at = now
            self._permits = tokens - 1.0
            return True
        finally:
            lock.release()

    def enqueue(self, now: float, latest: float) -> Ticket | None:
        """Take a turn; None is the signal to go at once.

        Args:
            now: the time.
            latest: when the connect has to begin at the latest.

        Raises:
            QueueTimeout: there is no turn by then. None is taken.
        """
        with self._lock:
            # Those who were given up, and came back, have gone twice.
            self._gone = min(self._gone, self._issued)
            ahead = self._ahead(self._issued + 1, now)
            wait = self._wait(ahead + 1, now)
            if wait <= 0:
                self._spend()
                return None
            lull = 0.0
            if self._rested and ahead >= int(CROWDED * self.rate):
                lull = self._lull * self._speed
                self._permits -= lull
                wait = self._wait(ahead + 1, now)
            if now + wait > latest:
                self._permits += lull
                raise QueueTimeout(ahead, wait)
            self._rested = self._rested and not lull
            self._issued += 1
            return Ticket(self._issued, wait)

    def poll(self, ticket: Ticket, now: float, latest: float) -> Ticket | None:
        """Ask again when the wait is over; None is the signal to go.

        There may be more to wait for: the rate may have been cut, and when a process was frozen,
        all waiting connects come at once.

        Args:
            ticket: what `enqueue`, or this, has returned.
            now: the time.
            latest: when the connect has to begin at the latest.

        Raises:
            QueueTimeout: it is not the connect's turn by then. It has to `cancel`.
        """
        with self._lock:
            if self._abandoned(now):
                self._gone = max(self._gone, ticket.number - 1)
            if self._permits > 1 + CATCH_UP * self._full:
                self._permits = 1.0
            ahead = self._ahead(ticket.number, now)
            wait = self._wait(ahead + 1, now)
            if wait > _ROUNDING:
                if now + wait > latest:
                    raise QueueTimeout(ahead, wait)
                return Ticket(ticket.number, wait)
            self._spend()
            self._gone += 1
            return None

    def cancel(self) -> None:
        """Leave the queue without having gone."""
        with self._lock:
            self._gone += 1

    def background_work(self, now: float) -> Callable[[], None] | None:  # noqa: ARG002
        """What the caller has to do now for all who take turns here; nothing, in one process."""
        return None

    def throttled(self, now: float) -> bool:
        """Note a throttled login and cut the rate. Returns whether it was the full rate."""
        with self._lock:
            self.throttles += 1
            self._fill(now)
            if now - self._cut_at < CUT_PAUSE:
                return False
            was_full = self._speed == self._full
            self._cut_at = now
            share = min(self._share(now), self._speed)
            self._speed = max(share * CUT, min(LOWEST, self._full))
            self._permits = min(self._permits, 0.0)
            self.cuts += 1
            return was_full

    def _share(self, now: float) -> float:
        """Logins a second that the server lets in, by what it did in the last one."""
        let_in = self._let_in
        while let_in and now - let_in[0] > _SECOND:
            let_in.popleft()
        return len(let_in) / _SECOND

    def _ahead(self, number: int, now: float) -> int:  # noqa: ARG002
        """How many come before the turn of this number."""
        return max(number - 1 - self._gone, 0)

    def _abandoned(self, now: float) -> bool:
        """Whether no connect has come for a while, so that those before are not going to."""
        return self._fill(now) >= self._burst

    def _wait(self, place: int, now: float) -> float:
        """Seconds until there is a token for this place in the queue, from 1."""
        return self._until(place - self._fill(now))

    def _spend(self) -> None:
        self._permits -= 1

    def _fill(self, now: float) -> float:
        tokens, passed = self._permits, now - self._filled_at
        if passed > 0:
            self._filled_at = now
            speed = self._speed
            if speed < self._full:
                speed = max(speed, min(self._share(now) * CUT, self._full))
                self._speed = min(speed + passed * REGAIN * self._full, self._full)
                speed = (speed + self._speed) / 2
            tokens += passed * speed
            if tokens > self._burst:
                tokens = self._burst
                self._rested = True
            self._permits = tokens
        return tokens

    def _until(self, tokens: float) -> float:
        """Seconds until so many tokens have come in, if no more logins are throttled."""
        speed, full = self._speed, self._full
        gain = REGAIN * full
        recovery = (full - speed) / gain
        meanwhile = recovery * (speed + full) / 2
        if tokens > meanwhile:
            return recovery + (tokens - meanwhile) / full
        return (math.sqrt(speed * speed + 2 * gain * tokens) - speed) / gain

    def after_fork(self) -> None:
        """Start afresh: those who wait are threads and tasks of the parent."""
        self._lock = threading.Lock()
        self._gone = self._issued
