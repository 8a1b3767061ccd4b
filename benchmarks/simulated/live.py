"""Simulated processes beside real ones: the same steps as time goes by, below the same ceiling."""

from __future__ import annotations

import threading
import time
from typing import Any

from benchmarks.simulated.scenarios import START, Scenario, populate
from benchmarks.simulated.world import World
from sqlalchemy_rds_iam.testing.database.throttle import Ceiling

TIMEOUT = 30.0
LONGEST = 120.0
"""Seconds after which they are through, whatever happens."""


class SharedCeiling(Ceiling):
    """A ceiling that a gateway shares with simulated processes, which are another thread's."""

    def __init__(self, rate: float | None) -> None:
        super().__init__(rate)
        self._lock = threading.Lock()

    def admit(self, now: float) -> bool:
        """Whether one more fits in at `now`."""
        with self._lock:
            return super().admit(now)


class _LiveWorld(World):
    """A world whose time is the monotonic clock's."""

    def _until(self, at: float) -> float:
        time.sleep(max(at - time.monotonic(), 0.0))
        return time.monotonic()


class Others:
    """The other processes of a fleet, running from now on.

    Args:
        ceiling: that they share with real ones.
        strategy: what they do about it.
        processes: how many there are; none has been let in before.
        pool: how many connects each of them wants.
        begin: when they begin, in epoch seconds.
        seed: see `World`.
    """

    def __init__(
        self,
        ceiling: SharedCeiling,
        strategy: str,
        processes: int,
        pool: int,
        *,
        begin: float,
        seed: int,
    ) -> None:
        assert ceiling.rate is not None
        rate = int(ceiling.rate)
        self._world = _LiveWorld(rate, seed, iam=ceiling)
        self._world.now = self._begin = time.monotonic() + begin - time.time()
        what = Scenario("deployed", pool, known=False), strategy, processes
        populate(self._world, *what, rate=rate, timeout=TIMEOUT, start=START)
        self._thread = threading.Thread(target=self._world.run, daemon=True)
        self._thread.start()

    def outcome(self) -> dict[str, Any]:
        """What came of them: when each was through, seconds from their beginning, and the rest."""
        self._thread.join(LONGEST)
        found = self._world.outcome
        return {
            "through": [at - self._begin for at in found.connected],
            "lost": dict(found.lost),
            "refused": found.refused,
        }
