"""Turns at a signed endpoint that all processes of a fleet share.

A process reserves a slice of turns at a time, with the hour of each, for those who wait and, where
the fleet is not busy, for as many as are likely to come. A connect that finds a turn in the slice
pays no more than a lock. When half of the slice is used up, one of those who come for a turn is
told to fetch the next. Turns that no connect uses on time are lost, so nothing is saved up, and
a process that does not connect asks nothing.

While the server cannot be used, each process keeps to the rate on its own.
"""

from __future__ import annotations

import functools
import random
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy_rds_iam._ratelimit.limiter import HEADROOM, RateLimiter
from sqlalchemy_rds_iam._ratelimit.redis_store import HORIZON, TIMEOUT, Reserved, Storage

SLICE = 0.05
"""Seconds' worth of turns that a process reserves at the most, unless two round trips are more."""

LATE = HEADROOM - 1
"""Seconds after which an unused turn is lost: with no more than that, `HEADROOM` pays for it all,
and no second holds more connects than the rate."""

LOST = 2 * TIMEOUT
"""Seconds after which those who wait go without an answer. The call may still take until `LIMIT`,
and leave behind a connection for the next."""

_POLL = 0.001


class _Reservation(NamedTuple):
    due: float
    until: float


class _Request(NamedTuple):
    since: float
    turns: int
    spacing: float


class SharedRateLimiter(RateLimiter):
    """The turns at one signed endpoint, out of those that a fleet shares. Thread-safe.

    Only what `background_work` hands out ever waits for the network. By the server's clock no
    second holds more than the rate of connects that were told to go, as long as answers take under
    20 ms; one that takes `t` seconds can add `rate * t`. A fleet that has just lost its server, or
    what that knew, can reach the rate once for each of its processes.

    Args:
        rate: most connects of the whole fleet that may begin in any second.
        storage: where the fleet keeps its turns.
        name: the endpoint; the same in all processes.
        clock: the monotonic clock of the times that are handed in.
    """

    _lull = 0.0  # turns that are reserved come evenly from the first

    def __init__(
        self,
        rate: int,
        storage: Storage,
        name: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(rate)
        self._storage = storage
        self._name = name
        self._clock = clock
        self._reservations: deque[_Reservation] = deque()
        self._request: _Request | None = None
        self._size = 1
        self._busy = False
        self._short = self._missed = 0
        self._trip = 0.0
        self._asked_at = self._ask_at = self._next = float("-inf")

    def try_acquire(self, now: float) -> bool:  # noqa: ARG002
        """Whether to go without a look at `background_work`: never."""
        return False

    def background_work(self, now: float) -> Callable[[], None] | None:
        """What the caller has to run now, for all, if anything.

        Ask after each `enqueue` and `poll`, those that say go included.

        Returns:
            Something that blocks for a round trip and raises nothing: for a thread, or for who may
            block. No caller has to wait for its end.
        """
        with self._lock:
            request = self._request
            if request is not None and now - request.since < LOST:
                return None
            if request is None:
                count = self._wanted(now)
                if count == 0 or not self._storage.ready(now):
                    return None
                self._asked_at = now
                self._size = count
                self._request = request = _Request(now, count, 1 / self._speed)
                return functools.partial(self._replenish, request)
            self._drop()
        self._storage.failed(f"no answer within {LOST:g} s", now)
        return None

    def _replenish(self, request: _Request) -> None:
        error: Exception | None = None
        turns: Reserved | None = None
        try:
            turns = self._storage.reserve(
                self._name, request.turns, request.spacing, clock=self._clock
            )
        except Exception as failure:  # noqa: BLE001  (whatever it is, there are no turns)
            error = failure
        finally:
            now = self._clock()
            with self._lock:
                current = self._request is request
                if current and turns is not None:
                    self._land(request, turns, now)
                elif current:
                    self._drop()
        if not current:
            return  # given up for lost
        if error is None:
            self._storage.worked()
        else:
            self._storage.failed(error, now)

    def _land(self, request: _Request, turns: Reserved, now: float) -> None:
        self._request = None
        self._short = 0
        self._trip = now - request.since
        begin = max(turns.latest, now)
        reservations = self._reservations
        gap = begin - max(self._next, now)
        self._busy = gap > 2 * request.spacing
        if not turns.granted:
            # Those who are turned away are not to come back all at once.
            self._ask_at = begin - HORIZON + random.uniform(0, HORIZON)  # noqa: S311
            return
        self._next = turns.earliest + request.turns * request.spacing
        for number in range(request.turns):
            after = number * request.spacing
            due = turns.latest + after
            until = max(turns.earliest + after + LATE, max(due, now) + LATE / 3)
            reservations.append(_Reservation(due, until))

    def _drop(self) -> None:
        self._request = None
        self._reservations.clear()
        self._next = float("-inf")

    def _wanted(self, now: float) -> int:
        """How many turns to ask for."""
        if self._storage.down:
            return 1
        left = len(self._reservations)
        if now < self._ask_at or left > self._size // 2:
            return 0
        short = max(self._issued - self._gone - left, self._short)
        brisk = now - self._asked_at < SLICE
        if short <= 0 and (self._busy or self._size == 1 or not brisk):
            return 0
        # Where others wait, too, none is asked for that may stay unused.
        likely = 2 * self._size if brisk and not self._busy else 1
        return min(max(short, likely), max(1, int(max(SLICE, 2 * self._trip) * self._speed)))

    def _share(self, now: float) -> float:  # noqa: ARG002
        # What this process had of the ceiling is no measure of what there is for all.
        return self._speed

    def _ahead(self, number: int, now: float) -> int:
        reservations = self._reservations
        while reservations and reservations[0].until < now:
            reservations.popleft()
            if self._gone < self._issued:
                # Its connect is late, or never coming: no other connect has to wait for that.
                self._gone += 1
                self._missed += 1
        if self._missed and number <= self._gone:
            self._gone -= 1
            self._missed -= 1
        return super()._ahead(number, now)

    def _abandoned(self, now: float) -> bool:
        # In a busy fleet it is quite usual that no connect goes for a while.
        return self._storage.down and super()._abandoned(now)

    def _wait(self, place: int, now: float) -> float:
        # Its own tokens are spent all the same, for the time when there are no others.
        alone = super()._wait(place, now)
        return alone if self._storage.down else self._due(place, now) - now

    def _due(self, place: int, now: float) -> float:
        """When this place has its turn, or else when to ask again, which is never too late."""
        reservations = self._reservations
        further = place - len(reservations)
        if further <= 0:
            return reservations[place - 1].due
        self._short = max(self._short, further)
        due = max(self._next, now) + (further - 1) / self._speed
        # Often enough to be there when the turns arrive, and less often the longer that takes.
        under_way = now - self._request.since if self._request else 0.0
        return max(due, self._ask_at, now + min(max(under_way, _POLL), LATE / 4))

    def _spend(self) -> None:
        super()._spend()
        if self._reservations:
            self._reservations.popleft()

    def after_fork(self) -> None:
        super().after_fork()
        self._drop()
