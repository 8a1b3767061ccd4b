"""What happens to a fleet: a deployment, a failover, a burst of Lambda functions."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.simulated.strategies import STRATEGIES, Process
from benchmarks.simulated.world import LATENCY, Outcome, World
from sqlalchemy_rds_iam._ratelimit.retry_policy import NEVER

START = 0.1
"""Seconds within which all processes begin."""

HOUR = 3600.0


@dataclass(frozen=True)
class Scenario:
    """What happens.

    Attributes:
        text: the same for people.
        pool: how many connects each process wants at once.
        known: whether its logins have been accepted before, long ago.
    """

    text: str
    pool: int
    known: bool


SCENARIOS = {
    "deploy": Scenario("all processes start, and each wants a pool of 10", pool=10, known=False),
    "failover": Scenario("all pools of 10 are lost, and reconnect", pool=10, known=True),
    "lambda": Scenario("each process starts and connects once", pool=1, known=False),
}


def simulate(
    scenario: Scenario,
    strategy: str,
    processes: int,
    *,
    ceiling: int = 200,
    rate: int | None = None,
    timeout: float = 30.0,
    seed: int = 1,
    latency: tuple[float, float] = LATENCY,
    start: float = START,
) -> Outcome:
    """Let it happen.

    Args:
        scenario: what happens.
        strategy: what they do about it, out of `STRATEGIES`.
        processes: how many there are.
        ceiling: logins that IAM admits in any second.
        rate: what is thought to be the ceiling, by default what it is.
        timeout: seconds that each connect has (``rds_iam_timeout``).
        seed: see `World`.
        latency: see `World`.
        start: seconds within which they begin.
    """
    world = World(ceiling, seed, latency)
    rate = ceiling if rate is None else rate
    populate(world, scenario, strategy, processes, rate=rate, timeout=timeout, start=start)
    return world.run()


def populate(
    world: World,
    scenario: Scenario,
    strategy: str,
    processes: int,
    *,
    rate: int,
    timeout: float,
    start: float,
) -> None:
    """Let so many processes begin in `world`, from now on; see `simulate`."""
    chosen = STRATEGIES[strategy]
    pace = chosen.paces(rate, processes)
    for _ in range(processes):
        process = Process(world, pace(), chosen.retry, -HOUR if scenario.known else NEVER)
        at = world.now + world.chance.uniform(0.0, start)
        for _ in range(scenario.pool):
            world.begin(at, process.connect(timeout))
