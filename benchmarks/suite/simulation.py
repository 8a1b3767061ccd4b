"""A simulation of fleets at the ceiling, strategy by strategy; no server, no network, no waiting.

Processes connect through the package's own pacing and retries, on a simulated clock, to a server
that admits --ceiling logins in any second, exactly, and takes 20 to 60 ms for each.

deploy    all processes start within 0.1 s, and each wants a pool of 10; none has been let in before
failover  all pools of 10 are lost, and reconnect within 0.1 s; all were let in long ago
lambda    each process starts and connects once, within 0.1 s; none has been let in before

nothing             AWS's recipe: all connects at once, and lost when refused
fixed split         the ceiling divided by the number of processes, which has to be known, as
                    rds_iam_connect_rate: at least 1; refused logins are lost
congestion control  the whole ceiling as rds_iam_connect_rate for each process, and no store
patient             the same with rds_iam_throttle_retry=patient
shared store        rds_iam_rate_storage: exact turns for all, from a store that takes no time

"possible" is how many can be connected within --timeout at all; "ideal" is the time that takes, and
"seconds" is when the last one was connected. "refused" are logins for each connect that was let in.
fleet.py holds the simulation against real processes.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.lib import charts, measure
from benchmarks.lib.fleets import is_full
from benchmarks.simulated.scenarios import SCENARIOS, simulate
from benchmarks.simulated.strategies import STRATEGIES
from benchmarks.simulated.world import Outcome

PROCESSES = (10, 30, 100, 200, 400, 1000, 5000)

LOSSLESS = {
    ("deploy", "congestion control"): 50,
    ("deploy", "patient"): 200,
    ("failover", "patient"): 400,
    ("lambda", "congestion control"): 300,
    ("lambda", "patient"): 1000,
    ("failover", "congestion control"): 400,
    ("failover", "shared store"): 500,
    ("deploy", "shared store"): 500,
    ("lambda", "shared store"): 5000,
}
"""Up to how many processes none may be lost, at 200 logins a second and with 30 s."""

LATEST = {("lambda", "patient"): 15.0}
"""Seconds within which all of them are connected."""

LOST = {"congestion control": 0.0, "patient": 0.005, "shared store": 0.005}
"""The share of connects that may be lost for all that. Turns are exact, but logins do not all take
the same time, so that now and then one arrives too early; who has never been let in loses it."""

OWN = {
    "congestion control": "without a store",
    "patient": "patient without a store",
    "shared store": "with a store",
}
"""The strategies that are this project's, in words."""

CEILING, TIMEOUT = 200, 30.0


def main() -> int:
    """Simulate, print, and say whether nothing is lost that need not be."""
    command = measure.parser(str(__doc__), rounds=3, scenario=SCENARIOS, strategy=STRATEGIES)
    command.add_argument(
        "--processes", action="append", type=measure.positive_integer, help="repeatable"
    )
    command.add_argument("--ceiling", type=measure.positive_integer, default=CEILING)
    command.add_argument("--timeout", type=measure.positive_number, default=TIMEOUT)
    command.add_argument("--seed", type=int, default=1, help="of the first round; default: 1")
    given = command.parse_args()
    rows = []
    for scenario in given.scenario or SCENARIOS:
        for strategy in given.strategy or STRATEGIES:
            for processes in sorted(given.processes or PROCESSES):
                measure.progress(f"{scenario}, {strategy}, {processes} processes")
                found = [
                    simulate(
                        SCENARIOS[scenario],
                        strategy,
                        processes,
                        ceiling=given.ceiling,
                        timeout=given.timeout,
                        seed=given.seed + number,
                    )
                    for number in range(given.rounds)
                ]
                what = {"scenario": scenario, "strategy": strategy, "processes": processes}
                rows.append(what | _summary(found, given.ceiling, given.timeout))
    results: dict[str, Any] = {
        "benchmark": "simulation",
        "rounds": given.rounds,
        "seed": given.seed,
        "ceiling": given.ceiling,
        "timeout_s": given.timeout,
        "validation": _validation(given.save),
        "results": rows,
    }
    results["within_target"] = not _missed(results)
    return measure.finish(given, results, headline, text, pictures)


def _summary(found: list[Outcome], ceiling: int, timeout: float) -> dict[str, Any]:
    wanted = found[0].wanted
    possible = min(wanted, int(ceiling * timeout))
    seconds = statistics.median(each.seconds for each in found)
    connected = statistics.median(len(each.connected) for each in found)
    return {
        "wanted": wanted,
        "possible": possible,
        "connected": connected,
        "lost": max(each.lost.total() for each in found),
        "lost_by_reason": [dict(each.lost) for each in found],
        "refused": statistics.median(each.refused / len(each.connected) for each in found),
        "seconds": seconds,
        "latest_s": max(each.seconds for each in found),
        "ideal_s": possible / ceiling,
        "used": connected / ceiling / seconds,
    }


def _missed(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    usual = (results["ceiling"], results["timeout_s"]) == (CEILING, TIMEOUT)
    return [row for row in results["results"] if usual and _misses(row)]


def _misses(row: dict[str, Any]) -> bool:
    most = LOSSLESS.get((row["scenario"], row["strategy"]), 0)
    if row["processes"] > most:
        return False
    latest = LATEST.get((row["scenario"], row["strategy"]), math.inf)
    return bool(row["lost"] > LOST[row["strategy"]] * row["wanted"] or row["latest_s"] > latest)


def _validation(directory: Path | None) -> str:
    """What `fleet.py` has found out about the simulation, if its results are there."""
    file = (directory or measure.RESULTS) / "fleet.json"
    if not file.exists():
        return "Not yet held against real processes on this machine: fleet.py does that."
    found = json.loads(file.read_text(encoding="utf-8"))
    verdict = "agreed" if found["agrees"] else "DID NOT AGREE"
    full = [row["way"] for row in found["results"] if is_full(row, found["emulator_maximum"])]
    aside = f", as far as that can be judged (not with {', '.join(full)})" if full else ""
    rows = ", ".join(
        f"{row['way']} {row['used']:.0%} measured and {row['simulated']['used']:.0%} simulated"
        for row in found["results"]
        if row["way"] != "nothing" and row["simulated"]
    )
    return (
        f"Held against {found['processes']} real processes (fleet.py) it {verdict}{aside}. "
        f"Of the ceiling were used: {rows}."
    )


def headline(results: Mapping[str, Any]) -> str:
    """The result in a sentence."""
    scenarios = dict.fromkeys(row["scenario"] for row in results["results"])
    said = "; ".join(_outcome(scenario, results, OWN) for scenario in scenarios)
    return f"Lost in the simulation: {said}"


def _outcome(scenario: str, results: Mapping[str, Any], strategies: Mapping[str, str]) -> str:
    """What is lost in a scenario, by the largest fleet of which all could be connected."""
    rows = [row for row in results["results"] if row["scenario"] == scenario]
    whole = [row["processes"] for row in rows if row["possible"] == row["wanted"]]
    size = max(whole or [min(row["processes"] for row in rows)])
    lost = [
        f"{row['lost'] / row['wanted']:.0%} {strategies[row['strategy']]}"
        for row in rows
        if row["processes"] == size and row["strategy"] in strategies
    ]
    return f"{scenario} of {size:,} processes {', '.join(lost)}"


def pictures(results: Mapping[str, Any]) -> dict[str, str]:
    """The charts of the results."""
    scenarios = dict.fromkeys(row["scenario"] for row in results["results"])
    return {f"simulation-{name}": _picture(name, results) for name in scenarios}


def _picture(scenario: str, results: Mapping[str, Any]) -> str:
    series: dict[str, list[tuple[float, float]]] = {}
    for row in results["results"]:
        if row["scenario"] == scenario:
            processes, wanted = row["processes"], row["wanted"]
            for name, accepted in (
                (row["strategy"], row["connected"]),
                ("unavoidable", row["possible"]),
            ):
                point = processes, 100.0 * (wanted - accepted) / wanted
                series.setdefault(name, []).append(point)
    all_of_them = {name: f"({name})" for name in series}
    return charts.lines(
        f"Lost in the simulation: {_outcome(scenario, results, all_of_them)}",
        charts.Axis("processes", log=True),
        charts.Axis("% of the connects lost", least=100.0, better="less"),
        {name: sorted(set(points)) for name, points in series.items()},
    )


def text(results: Mapping[str, Any]) -> str:
    """The table of the results, and the verdict."""
    missed = _missed(results)
    fleets: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    for row in results["results"]:
        fleets.setdefault((row["scenario"], row["processes"]), {})[row["strategy"]] = row
    strategies = list(dict.fromkeys(row["strategy"] for row in results["results"]))
    rows = [
        (
            *(scenario, str(processes)),
            *(str(next(iter(rows.values()))[name]) for name in ("wanted", "possible")),
            *(str(rows[strategy]["lost"]) for strategy in strategies),
        )
        for (scenario, processes), rows in fleets.items()
    ]
    verdict = "kept"
    if missed:
        verdict = "MISSED by " + ", ".join(
            f"{row['scenario']} {row['strategy']} {row['processes']}" for row in missed
        )
    least = ", ".join(f"{most} ({' '.join(which)})" for which, most in LOSSLESS.items())
    return "\n".join(
        (
            f"{results['ceiling']} logins a second, {results['timeout_s']:g} s for each connect.",
            f"{results['validation']}",
            f"Connects that were lost, the most of {results['rounds']} seeds:",
            "",
            measure.table(("scenario", "processes", "wanted", "possible", *strategies), rows),
            "",
            f"None, or nearly none, may be lost up to so many processes, {least}: {verdict}.",
        )
    )


if __name__ == "__main__":
    measure.run(main)
