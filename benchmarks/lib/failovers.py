"""What came of writes through failovers: numbers, a table and a chart."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.lib import charts, measure

Run = dict[str, Any]
Runs = dict[str, list[Run]]

MEDIAN, P99 = 1.0, 2.0
"""Seconds from the name's move to the first write, at the most."""

_TIMES = "first_median_s", "first_p99_s", "every_median_s", "every_p99_s"

STEADY = 2.0
"""Seconds at the end of a run whose writes count as those afterwards."""

_BIN = 0.25
_LEAD = 1.0
"""Seconds before the fault that the chart shows."""

_CHARTED_LAG = 5.0


def summaries(runs: Runs) -> list[dict[str, Any]]:
    """One row for each driver and way, of all their failovers."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in (run for each in runs.values() for run in each):
        groups.setdefault((run["driver"], run["way"]), []).append(run)
    return [_summary(driver, way, group) for (driver, way), group in groups.items()]


def _summary(driver: str, way: str, runs: Sequence[Run]) -> dict[str, Any]:
    firsts = [min(first_writes(run)) for run in runs]
    every = [first for run in runs for first in first_writes(run)]
    row = {
        "driver": driver,
        "way": way,
        "failovers": len(runs),
        "before": _rate(runs, lambda run: (run["began"], run["fault_at"])),
        "during": _rate(runs, lambda run: (run["fault_at"], run["moved_at"])),
        "after": _rate(runs, lambda run: (run["ended"] - STEADY, run["ended"])),
        "done": sum(len(run["done"]) for run in runs),
        "lost": sum(map(lost, runs)),
        "misdirected": sum(read_only for run in runs for *_, read_only, _ in run["failed"]),
        "errors": sum(len(run["failed"]) for run in runs),
        "most_errors_of_a_worker": max(map(most_errors, runs)),
        "first_median_s": _finite(statistics.median(firsts)),
        "first_p99_s": _finite(measure.percentile(firsts, 0.99)),
        "every_median_s": _finite(statistics.median(every)),
        "every_p99_s": _finite(measure.percentile(every, 0.99)),
        "wrong_logins": max(run["logins_at_old"] for run in runs),
        "stuck": sum(run["stuck"] for run in runs),
        "words": sorted({words for run in runs for _, _, words, *_ in run["failed"]})[:5],
    }
    return row | {"misses": way == "plugin" and _misses(row)}


def lost(run: Run) -> int:
    """How many writes were reported as done and are not on the new writer."""
    return len({number for _, number, _ in run["done"]} - {*run["rows"]})


def most_errors(run: Run) -> int:
    """The most transactions that failed for one worker."""
    counts = [0] * run["workers"]
    for worker, *_ in run["failed"]:
        counts[worker] += 1
    return max(counts)


def first_writes(run: Run) -> list[float]:
    """For each worker, the seconds from the name's move to its first write; infinite for none."""
    firsts = [math.inf] * run["workers"]
    for worker, _, at in run["done"]:
        if at >= run["moved_at"]:
            firsts[worker] = min(firsts[worker], at - run["moved_at"])
    return firsts


def text(results: Mapping[str, Any]) -> str:
    """The tables, and the verdict."""
    missed = [f"{row['driver']}" for row in results["results"] if row["misses"]]
    rule = (
        "With the plugin no write may be lost, no worker may see two errors in one failover, and "
        f"the first write has to come within {MEDIAN:g} s (median) and {P99:g} s (p99)"
    )
    parts = [
        _head(results),
        _table(results["results"]),
        f"{rule}: {'MISSED by ' + ', '.join(missed) if missed else 'kept'}.",
    ]
    if results["asynchronous"]:
        parts += [
            "Asynchronous replication, the standby half a second behind, the writer killed:",
            _table(results["asynchronous"]),
        ]
    return "\n\n".join(parts)


def _head(results: Mapping[str, Any]) -> str:
    return (
        f"{results['threads']} threads or {results['tasks']} tasks; the old writer killed, "
        "restarted, left read-only, or switched over in good order. Writes a second before, during "
        "and after; wrong logins are the most of one failover."
    )


def _table(rows: Iterable[dict[str, Any]]) -> str:
    head = (
        *("driver", "way", "failovers", "before", "during", "after", "done", "lost"),
        *("misdirected", "errors", "most of a worker", "first write p50 s", "p99 s"),
        *("of every worker p50 s", "p99 s", "wrong logins"),
    )
    counts = "done", "lost", "misdirected", "errors", "most_errors_of_a_worker"
    return measure.table(
        head,
        [
            (
                *(row["driver"], row["way"], str(row["failovers"])),
                *(f"{row[name]:.0f}" for name in ("before", "during", "after")),
                *(str(row[name]) for name in counts),
                *(_shown(row[name]) for name in _TIMES),
                str(row["wrong_logins"]),
            )
            for row in rows
        ],
    )


def curve(runs: Runs) -> dict[str, Any]:
    """What a chart shows: writes a second through one failover, by way, and when each came back."""
    every = [run for each in runs.values() for run in each]
    lag = min((run["lag"] for run in every), key=lambda lag: abs(lag - _CHARTED_LAG))
    late = [run for run in every if run["lag"] == lag]
    # What pools keep to for ever, where there is such a run.
    left = [run for run in late if run["kind"] == "left read-only"] or late
    shown = {run["way"]: run for run in reversed(left) if run["driver"] == left[0]["driver"]}
    moved = [run["moved_at"] - run["fault_at"] for run in shown.values()]
    return {
        "driver": left[0]["driver"],
        "kind": left[0]["kind"],
        "lag": lag,
        "moved": _LEAD + statistics.median(moved),
        "ways": {
            way: {
                "first_s": _finite(min(first_writes(shown[way]))),
                "points": _rates(shown[way]),
            }
            for way in dict.fromkeys(run["way"] for run in every)
            if way in shown
        },
    }


def headline(results: Mapping[str, Any]) -> str:
    """The result in a sentence."""
    found = results["curve"]
    ways: dict[str, list[str]] = {}
    for way, each in found["ways"].items():
        first = each["first_s"]
        ways.setdefault("never" if first is None else f"after {first:.1f} s", []).append(way)
    again = ", ".join(f"{when} ({', '.join(some)})" for when, some in ways.items())
    lost = sum(row["lost"] for row in results["results"] if row["way"] == "plugin")
    lost_said = "no write is lost" if not lost else f"{lost} writes are lost"
    return (
        f"{lost_said.capitalize()} in a failover with the plugin; with {found['driver']}, the "
        f"name {found['lag']:g} s late, writes succeed again {again}"
    )


def pictures(results: Mapping[str, Any]) -> dict[str, str]:
    """Writes a second through one failover, one line for each way."""
    found = results["curve"]
    end = found["moved"]
    drawn = charts.lines(
        headline(results),
        charts.Axis(f"seconds; the fault is at {_LEAD:g}, old writer {found['kind']}"),
        charts.Axis("writes a second (more is better)"),
        {way: each["points"] for way, each in found["ways"].items()},
        bands=[(end - found["lag"], end, "the name is late")],
    )
    return {"failover": drawn}


def _rates(run: Run) -> list[tuple[float, float]]:
    start = run["fault_at"] - _LEAD
    counts = [0] * int((run["ended"] - start) / _BIN)
    for _, _, at in run["done"]:
        if 0 <= (place := math.floor((at - start) / _BIN)) < len(counts):
            counts[place] += 1
    return [((place + 0.5) * _BIN, count / _BIN) for place, count in enumerate(counts)]


def _rate(runs: Sequence[Run], span: Any) -> float:
    """Writes a second in the `span` of each run, all together."""
    count, seconds = 0, 0.0
    for run in runs:
        begin, end = span(run)
        seconds += end - begin
        count += sum(begin <= at < end for _, _, at in run["done"])
    return count / seconds


def _misses(row: dict[str, Any]) -> bool:
    median, p99 = row["first_median_s"], row["first_p99_s"]
    if row["lost"] or row["stuck"] or row["most_errors_of_a_worker"] > 1:
        return True
    return median is None or p99 is None or median > MEDIAN or p99 > P99


def _finite(seconds: float) -> float | None:
    return None if math.isinf(seconds) else seconds


def _shown(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.2f}"
