"""What a process does about the ceiling, strategy by strategy.

Turns and retries are the package's own, on the clock of the simulation: `RateLimiter` says when a
connect may begin, `meaning` what a refusal means, `RetryState` when to try again. The loop below is
that of `ConnectListener`, without SQLAlchemy, tokens and a driver.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass

from benchmarks.simulated.world import Steps, World
from sqlalchemy_rds_iam._connecting.refusals import meaning
from sqlalchemy_rds_iam._databases.postgresql import POSTGRESQL
from sqlalchemy_rds_iam._ratelimit.limiter import QueueTimeout, RateLimiter
from sqlalchemy_rds_iam._ratelimit.retry_policy import NEVER, WINDOWS, RetryState

_REFUSAL = Exception("FATAL:  PAM authentication failed")

Paces = Callable[[int, int], Callable[[], RateLimiter | None]]
"""From the ceiling and the number of processes to what gives each process its turns."""


def _none(_ceiling: int, _processes: int) -> Callable[[], RateLimiter | None]:
    return lambda: None


def _split(ceiling: int, processes: int) -> Callable[[], RateLimiter | None]:
    return lambda: RateLimiter(max(ceiling // processes, 1))


def _shared(ceiling: int, _processes: int) -> Callable[[], RateLimiter | None]:
    pace = RateLimiter(ceiling)
    return lambda: pace


def _own(ceiling: int, _processes: int) -> Callable[[], RateLimiter | None]:
    return lambda: RateLimiter(ceiling)


@dataclass(frozen=True)
class Strategy:
    """What all processes of a fleet do.

    Attributes:
        paces: their turns.
        retry: how far a refusal may be taken for throttling (``rds_iam_throttle_retry``).
    """

    paces: Paces
    retry: str


STRATEGIES = {
    "nothing": Strategy(_none, "off"),
    "fixed split": Strategy(_split, "off"),
    "congestion control": Strategy(_own, "on"),
    "patient": Strategy(_own, "patient"),
    "shared store": Strategy(_shared, "on"),
}
"""In the words of the documentation. The shared store is one that costs no time and never fails."""


class Process:
    """One process of a fleet.

    Args:
        world: where it runs.
        pace: its turns, if any.
        retry: see `Strategy`.
        accepted_at: when a login of it was accepted for the last time.
    """

    def __init__(
        self, world: World, pace: RateLimiter | None, retry: str, accepted_at: float
    ) -> None:
        self.accepted_at = accepted_at
        self.first_until = self.first_refused = self.accepted_before = NEVER
        self.lock = threading.Lock()
        self._world = world
        self._pace = pace
        self._retries, self._window = retry != "off", WINDOWS[retry]

    def connect(self, timeout: float) -> Steps:
        """Connect once, within so many seconds."""
        world, outcome = self._world, self._world.outcome
        outcome.wanted += 1
        attempts = RetryState(world.now, world.now + timeout)
        while True:
            try:
                yield from self._queue(attempts)
            except QueueTimeout:
                attempts.give_up(self)
                outcome.lost["no turn"] += 1
                return
            if (yield from world.log_in()):
                self.accepted_at = world.now
                if self._pace is not None:
                    self._pace.accepted(world.now)
                outcome.connected.append(world.now)
                return
            pause = self._pause(attempts)
            if pause is None:
                outcome.lost["refused"] += 1
                return
            yield from world.sleep(pause)

    def _pause(self, attempts: RetryState) -> float | None:
        """Seconds to the next attempt after a refusal, None if there is none."""
        if self._pace is None:
            return None
        now, patient = self._world.now, self._retries
        # A process that was never let in has just signed its first token; none is out of date.
        replaced = attempts.has_replaced or self.accepted_at == NEVER
        means = meaning(_REFUSAL, self, now, POSTGRESQL, has_replaced=replaced, patient=patient)
        if means == "replace":
            attempts.has_replaced = True
            return 0.0
        if means != "throttled":
            return None
        retry = attempts.pause(self, self._pace, now, certain=False, window=self._window)
        return None if retry is None else retry.pause

    def _queue(self, attempts: RetryState) -> Generator[float, None, None]:
        world, pace = self._world, self._pace
        if pace is None:
            return
        while self._retries and (seconds := attempts.wait_for_first(self, world.now)):
            yield from world.sleep(seconds)
        ticket = pace.enqueue(world.now, attempts.deadline)
        while ticket is not None:
            yield from world.sleep(ticket.wait)
            try:
                ticket = pace.poll(ticket, world.now, attempts.deadline)
            except QueueTimeout:
                pace.cancel()
                raise
