"""The world that fleets are simulated in: a clock, a ceiling, and the time that a login takes."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field

from sqlalchemy_rds_iam.testing.database.throttle import Ceiling

LATENCY = (0.020, 0.060)
"""Least and most seconds that a login takes, from the first packet to the answer."""

LATE = 0.002
"""Most seconds by which a waiting client wakes up late."""

_JUDGED = (0.3, 0.7)
"""Least and most of a login's time that have passed when IAM is asked."""

Steps = Generator[float, None, None]
"""What a client does: each value is how many seconds to let pass before it goes on."""


@dataclass
class Outcome:
    """What came of all connects.

    Attributes:
        wanted: how many connects there were.
        connected: when each of the others was through, in order.
        lost: how many were not, by reason.
        admitted: when IAM let each login in, in order.
        refused: how often it did not.
    """

    wanted: int = 0
    connected: list[float] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    admitted: list[float] = field(default_factory=list)
    refused: int = 0

    @property
    def seconds(self) -> float:
        """When the last one was connected."""
        return self.connected[-1] if self.connected else 0.0


class World:
    """Runs what is begun in it, in the order of its time.

    Args:
        ceiling: logins that IAM admits in any second, exactly.
        seed: of everything that is random; the same seed gives the same outcome.
        latency: see `LATENCY`.
        iam: what admits logins, if it is another one than that of `ceiling`.

    Attributes:
        now: the time, seconds from 0 on.
        chance: for whatever else is random.
        outcome: see `Outcome`.
    """

    def __init__(
        self,
        ceiling: float,
        seed: int = 1,
        latency: tuple[float, float] = LATENCY,
        iam: Ceiling | None = None,
    ) -> None:
        self.now = 0.0
        self.chance = random.Random(seed)
        self.outcome = Outcome()
        self._seed = seed
        self._latency = latency
        self._iam = iam or Ceiling(ceiling)
        self._events: list[tuple[float, int, Steps]] = []
        self._serial = 0

    def begin(self, at: float, steps: Steps) -> None:
        """Begin `steps` at this time."""
        self._serial += 1
        heapq.heappush(self._events, (at, self._serial, steps))

    def run(self) -> Outcome:
        """Run until no client has anything left to do."""
        # The pauses of the package come from the module's own generator.
        state = random.getstate()
        random.seed(self._seed)
        try:
            while self._events:
                at, _, steps = heapq.heappop(self._events)
                self.now = self._until(at)
                seconds = next(steps, None)
                if seconds is not None:
                    self.begin(self.now + seconds, steps)
        finally:
            random.setstate(state)
        return self.outcome

    def _until(self, at: float) -> float:
        """Let it be `at`; what time it is then."""
        return at

    def sleep(self, seconds: float) -> Steps:
        """Let so much time pass, and a little more."""
        yield seconds + self.chance.uniform(0.0, LATE)

    def log_in(self) -> Generator[float, None, bool]:
        """Log in; whether IAM let us."""
        seconds = self.chance.uniform(*self._latency)
        judged = seconds * self.chance.uniform(*_JUDGED)
        yield judged
        admitted = self._iam.admit(self.now)
        if admitted:
            self.outcome.admitted.append(self.now)
        else:
            self.outcome.refused += 1
        yield seconds - judged
        return admitted
