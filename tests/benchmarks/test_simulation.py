"""The simulation tracks every connect, keeps to the ceiling, and shows what the strategies do."""

from __future__ import annotations

import bisect
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.simulated.live import Others, SharedCeiling
from benchmarks.simulated.scenarios import SCENARIOS, Scenario, simulate
from benchmarks.simulated.strategies import STRATEGIES
from benchmarks.simulated.world import World
from benchmarks.suite import simulation
from sqlalchemy_rds_iam._ratelimit.limiter import LULL

CONTROL = "congestion control"
STORM = Scenario("all connect again", 250, known=True)


def _most(times: list[float]) -> int:
    """The most in any second, which begins with one of them and ends before it is over."""
    return max((bisect.bisect_left(times, at + 1) - i for i, at in enumerate(times)), default=0)


@settings(deadline=None, max_examples=60)
@given(
    scenario=st.sampled_from(sorted(SCENARIOS)),
    strategy=st.sampled_from(sorted(STRATEGIES)),
    processes=st.integers(1, 60),
    ceiling=st.integers(1, 300),
    timeout=st.sampled_from([0.5, 2.0, 30.0]),
    seed=st.integers(0, 2**32),
)
def test_every_connect_ends(
    scenario: str,
    strategy: str,
    processes: int,
    ceiling: int,
    timeout: float,
    seed: int,
) -> None:
    """Whatever happens, each connect is connected or lost, and no second holds too many logins."""
    outcome = simulate(
        SCENARIOS[scenario],
        strategy,
        processes,
        ceiling=ceiling,
        timeout=timeout,
        seed=seed,
    )
    assert outcome.wanted == processes * SCENARIOS[scenario].pool
    assert len(outcome.connected) + outcome.lost.total() == outcome.wanted
    assert len(outcome.admitted) == len(outcome.connected)
    assert outcome.admitted == sorted(outcome.admitted)
    assert _most(outcome.admitted) <= ceiling


def test_the_same_seed_the_same_outcome() -> None:
    """What is random comes from the seed alone, and no other code's random numbers are touched."""
    random.seed(7)
    before = random.getstate()
    first = simulate(SCENARIOS["failover"], "congestion control", 50, seed=1)
    assert random.getstate() == before
    random.seed(8)
    assert simulate(SCENARIOS["failover"], "congestion control", 50, seed=1) == first
    other = simulate(SCENARIOS["failover"], "congestion control", 50, seed=2)
    assert other.connected != first.connected


def test_without_a_ceiling_in_the_way() -> None:
    """One process after the other: all are let in, as fast as logins are."""
    world = World(1000.0)
    admitted = []

    def log_in() -> object:
        admitted.append((yield from world.log_in()))

    for number in range(20):
        world.begin(float(number), log_in())  # type: ignore[arg-type]
    world.run()
    assert admitted == [True] * 20
    assert 19.02 <= world.now <= 19.06


@pytest.mark.parametrize(("strategy", "lost"), [("nothing", 300), ("fixed split", 0)])
def test_what_is_lost_without_retries(strategy: str, lost: int) -> None:
    """What is refused once is lost, and a split loses nothing as long as it adds up."""
    outcome = simulate(SCENARIOS["failover"], strategy, 50)
    assert outcome.lost.total() == outcome.refused == lost


def test_a_split_that_does_not_add_up() -> None:
    """No rate is below one a second, so that 400 processes ask for twice the ceiling."""
    outcome = simulate(SCENARIOS["deploy"], "fixed split", 400)
    assert outcome.lost.total() > outcome.wanted / 3
    assert outcome.seconds < 20
    again = simulate(SCENARIOS["failover"], "fixed split", 1000)
    assert again.refused + len(again.admitted) <= 2 * again.wanted  # one fresh token each


@pytest.mark.parametrize("processes", [2, 8, 30, 50, 200, 400])
def test_failover(processes: int) -> None:
    """Congestion control loses nothing in a failover, up to what 30 s have room for."""
    outcome = simulate(SCENARIOS["failover"], "congestion control", processes)
    assert outcome.lost.total() == 0
    possible = outcome.wanted / 200
    assert outcome.seconds <= 1.25 * possible + 1.5


@pytest.mark.parametrize("processes", [2, 8, 15, 20])
def test_deploy(processes: int) -> None:
    """It loses nothing in a deployment, while the first login of each process gets through."""
    outcome = simulate(SCENARIOS["deploy"], "congestion control", processes)
    assert outcome.lost.total() == 0


def test_one_goes_ahead() -> None:
    """In a larger deployment most get through: the first login of a process holds up no other."""
    outcome = simulate(SCENARIOS["deploy"], "congestion control", 50)
    assert outcome.lost.total() <= outcome.wanted / 20


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_store_has_room_for_all(scenario: str) -> None:
    """With a shared store next to nothing is refused or lost, however many there are."""
    outcome = simulate(SCENARIOS[scenario], "shared store", 500)
    assert outcome.refused <= 0.002 * outcome.wanted
    assert outcome.lost.total() <= 0.002 * outcome.wanted
    assert outcome.seconds <= 1.05 * outcome.wanted / 200 + LULL


@pytest.mark.parametrize("seed", range(5))
def test_eight_processes(seed: int) -> None:
    """Eight processes without a store use at least 80 % of the ceiling, refused once in three."""
    outcome = simulate(STORM, "congestion control", 8, seed=seed)
    assert outcome.lost.total() == 0
    assert outcome.wanted / 200 / outcome.seconds >= 0.8
    assert outcome.refused <= outcome.wanted / 3


def test_half_the_ceiling() -> None:
    """Where the server admits half of what was thought, nothing is lost, and little time."""
    world_rate, storm = 100, Scenario("half", 2000, known=True)
    outcome = simulate(storm, "congestion control", 1, ceiling=world_rate, rate=2 * world_rate)
    assert outcome.lost.total() == 0
    assert outcome.seconds <= 1.15 * 20
    assert outcome.refused <= 0.1 * outcome.wanted


def test_the_past_of_a_process_is_its_own() -> None:
    """Functions that were not let in yet lose what the ceiling refuses, whatever others had."""
    outcome = simulate(SCENARIOS["lambda"], "congestion control", 1000)
    assert outcome.lost == {"refused": 400}
    assert outcome.seconds < 3


@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize(("scenario", "processes"), [("deploy", 200), ("lambda", 1000)])
def test_a_patient_fleet(scenario: str, processes: int, seed: int) -> None:
    """Without a store nothing is lost in a deployment of 200, nor in a burst of 1,000."""
    outcome = simulate(SCENARIOS[scenario], "patient", processes, seed=seed)
    assert outcome.lost.total() == 0
    assert outcome.seconds <= 15


def test_beside_real_processes() -> None:
    """Simulated processes that run as time goes by share the ceiling, and all of them end."""
    ceiling = SharedCeiling(100)
    others = Others(ceiling, "patient", 3, 10, begin=time.time(), seed=1)
    found = others.outcome()
    assert len(found["through"]) == 30
    assert (found["lost"], found["refused"]) == ({}, 0)
    assert found["through"] == sorted(found["through"])
    assert len(ceiling._admitted) <= 30


def test_what_a_patient_fleet_must_keep() -> None:
    """Up to some size nearly none is lost, and a burst is over in time."""
    row = {"scenario": "lambda", "strategy": "patient", "processes": 1000, "wanted": 1000}
    good = row | {"lost": 5, "latest_s": 15.0}
    assert not simulation._misses(good)
    assert simulation._misses(good | {"lost": 6})
    assert simulation._misses(good | {"latest_s": 15.1})
    assert not simulation._misses(good | {"lost": 900, "processes": 5000})


def test_patience_changes_no_failover() -> None:
    """Where all were let in before, there is no first login."""
    found, usual = (simulate(SCENARIOS["failover"], way, 100) for way in ("patient", CONTROL))
    assert found == usual
