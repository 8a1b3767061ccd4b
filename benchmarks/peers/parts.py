"""The parts of ``peers.py``: what is measured, and how the numbers are summed up in rows."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from benchmarks.lib import spread
from benchmarks.lib.connects import Sample
from benchmarks.peers.runs import (
    CONNECT_TIMEOUT,
    TIMEOUT,
    Case,
    Effort,
    Peers,
    Place,
    in_rounds,
    samples,
)
from benchmarks.peers.ways import AGAIN, READY, WAYS

Row = dict[str, Any]

BUNDLE, ONE = "bundle", "one CA"
THREADS = 8
STS_SECONDS = 0.5
REST = 1.2
"""Seconds from the first connect to the storm: the ceiling counts those of the last second."""


def cost(
    peers: Peers,
    place: Place,
    drivers: Collection[str],
    effort: Effort,
    names: Collection[str] = (ONE, BUNDLE),
) -> list[Row]:
    """Client CPU time of a connect, with one CA and with the whole bundle."""
    return _costs(peers, place, drivers, effort, names=names, of=lambda s: s.cpu)


def network(peers: Peers, place: Place, drivers: Collection[str], effort: Effort) -> list[Row]:
    """The time of a connect over a network, by the clock."""
    return _costs(peers, place, drivers, effort, names=(ONE,), of=lambda s: s.wall)


def _costs(
    peers: Peers,
    place: Place,
    drivers: Collection[str],
    effort: Effort,
    *,
    names: Iterable[str],
    of: Callable[[Sample], float],
) -> list[Row]:
    rows = []
    share = effort._replace(seconds=effort.seconds / max(len(drivers), 1))
    for driver in drivers:
        found = {
            key: [[of(sample) * 1e3 for sample in batch] for batch in batches]
            for key, batches in samples(peers, place, driver, share, names).items()
        }
        rows += [_cost(key, found) for key in found]
    return rows


def _cost(key: tuple[Case, str], found: Mapping[tuple[Case, str], list[list[float]]]) -> Row:
    case, name = key
    floor = found.get((Case(READY, case.driver), name))
    by_round = [statistics.median(batch) for batch in found[key]]
    low, median, high = spread.quartiles([value for batch in found[key] for value in batch])
    row: Row = {"driver": case.driver, "way": case.way, "ca_file": name}
    row |= {"ms": median, "low_ms": low, "high_ms": high, "times": None}
    if floor is not None and case.way != READY:
        row["times"] = spread.ratio(by_round, [statistics.median(batch) for batch in floor])
    return row


def null_of(rows: Iterable[Row], driver: str, name: str) -> spread.Interval | None:
    """The ratio of two processes with the same engine, if it was measured."""
    found = (
        row["times"]
        for row in rows
        if (row["way"], row["driver"], row["ca_file"]) == (AGAIN, driver, name)
    )
    return next(found, None)


def rate(peers: Peers, place: Place, seconds: float, effort: Effort) -> list[Row]:
    """Connects a second that threads make, without a limit."""

    def run(case: Case, name: str) -> Row:
        place.rds.start_over(None)
        task = place.task(case, place.files[name], {"rds_iam_connect_rate": "0"})
        task |= {"workers": THREADS, "seconds": seconds}
        with peers.process(case, place.environ) as ask:
            done = ask("run", task)["connects"]
        through = sum(ok and began + took <= seconds for began, took, ok in done)
        return {"per_second": through / seconds, "lost": sum(not ok for *_, ok in done)}

    cases = [case for case in peers.cases if case.driver == "psycopg" and case.way != AGAIN]
    keys = [(case, name) for name in (ONE, BUNDLE) for case in cases]
    return [_rate(*key, runs) for key, runs in in_rounds(peers, keys, run, effort).items()]


def _rate(case: Case, name: str, runs: list[Row]) -> Row:
    low, median, high = spread.quartiles([run["per_second"] for run in runs])
    row: Row = {"driver": case.driver, "way": case.way, "ca_file": name, "per_second": median}
    return row | {"low": low, "high": high, "lost": sum(run["lost"] for run in runs)}


def storm(peers: Peers, place: Place, ceiling: int, wanted: int) -> list[Row]:
    """More connects at once than IAM lets in, each in a thread of its own."""

    def run(case: Case, name: str) -> Row:
        place.rds.start_over(ceiling)
        options = {"rds_iam_connect_rate": str(ceiling), "rds_iam_timeout": str(TIMEOUT)}
        task = place.task(case, place.files[name], options)
        task |= {"connects": wanted, "workers": wanted, "rest": REST}
        task["url"] += f"&connect_timeout={CONNECT_TIMEOUT}"
        with peers.process(case, place.environ) as ask:
            found = ask("run", task)
        done = found["connects"]
        lost = sum(not ok for *_, ok in done)
        seconds = max(began + took for began, took, _ in done)
        return {
            "driver": case.driver,
            "way": case.way,
            "wanted": wanted,
            "let_in": wanted - lost,
            "lost": lost,
            "refused": sum(place.rds.logins()["refused"].values()),
            "seconds": seconds,
            "times_ideal": None if lost else seconds / (wanted / ceiling),
            "errors": found["errors"],
        }

    limited = [
        case
        for case in _once(peers.cases)
        if WAYS[case.way].is_limited and WAYS[case.way].waits_for_aws
    ]
    try:
        found = in_rounds(peers, [(case, ONE) for case in limited], run, Effort(1, 0))
        return [row for rows in found.values() for row in rows]
    finally:
        place.rds.start_over(None)


def gap(peers: Peers, place: Place, effort: Effort) -> list[Row]:
    """How long an event loop stands still in a first connect while STS is slow."""

    def run(case: Case, name: str) -> Row:
        task = place.task(case, place.files[name], is_async=True)
        with peers.process(case, place.of_role) as ask:
            return ask("gap", task)

    place.rds.slow_sts(STS_SECONDS)
    try:
        cases = [
            case
            for case in peers.cases
            if case.driver in {"asyncpg", "psycopg"} and WAYS[case.way].waits_for_aws
        ]
        found = in_rounds(peers, [(case, ONE) for case in cases], run, effort)
    finally:
        place.rds.slow_sts(0.0)
    return [
        {"driver": case.driver, "way": case.way, **_medians(runs)}
        for (case, _), runs in found.items()
    ]


def start(peers: Peers, place: Place, effort: Effort) -> list[Row]:
    """From an application without AWS to its first connection, in fresh processes."""

    def run(case: Case, name: str) -> Row:
        with peers.process(case, place.of_keys) as ask:
            return ask("start", place.task(case, place.files[name]))

    cases = [case for case in _once(peers.cases) if case.way not in {READY, AGAIN}]
    found = in_rounds(peers, [(case, ONE) for case in cases], run, effort)
    return [
        {"driver": case.driver, "way": case.way, **_medians(runs)}
        for (case, _), runs in found.items()
    ]


def _once(cases: Iterable[Case]) -> list[Case]:
    """Each way with the first of its sync drivers for PostgreSQL."""
    chosen: dict[str, Case] = {}
    for case in cases:
        if case.driver in {"psycopg", "psycopg2"}:
            chosen.setdefault(case.way, case)
    return list(chosen.values())


def _medians(runs: list[Row]) -> Row:
    """The quartiles of each number, as NAME, low_NAME and high_NAME."""
    row: Row = {}
    for name in runs[0]:
        low, median, high = spread.quartiles([run[name] for run in runs])
        row |= {name: median, f"low_{name}": low, f"high_{name}": high}
    return row
