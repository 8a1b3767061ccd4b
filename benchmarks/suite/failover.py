"""Writes through failovers: how many fail, how many are lost, and when the first succeeds again.

16 threads or 64 tasks write one row for each transaction, with a pause, from a pool that has a
connection for each and pool_pre_ping. Then the standby of a synchronous pair of servers becomes the
writer, and the name of the writer's endpoint follows --lag seconds later. Lags and what becomes of
the old writer take turns, so that each driver meets every lag. The servers are in a process of
their own, and so are the clients.

plugin        ?plugin=rds_iam with rds_iam_target_session_attrs=read-write, as the writer of
              engine_pair() has it.
any           The same with "any", the default of a single engine.
driver alone  Without the plugin, which would take the driver's setting for its own: the driver's
              own target_session_attrs=read-write, and a token signed beforehand as the password.
              pg8000 has no such setting, nor have the drivers of MySQL.

Lost are writes that were reported as done and are not on the new writer. Misdirected are writes
that a server refused as it is read-only. The first write, and that of every worker, are in seconds
from the moment when the name leads to the new writer. "Wrong logins" reached the old writer after
the other one had become the writer.

At the end, replication is asynchronous and the standby half a second behind when the writer is
killed: what was committed in that time is lost, whatever the client does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.lib import measure
from benchmarks.lib.clustered import KINDS, Cluster
from benchmarks.lib.command_process import CommandProcess
from benchmarks.lib.drivers import DRIVERS as KNOWN
from benchmarks.lib.failovers import Runs, curve, headline, pictures, summaries, text

__all__ = ["headline", "main", "pictures", "text"]

DRIVERS = {
    "psycopg": False,
    "psycopg2": False,
    "pg8000": False,
    "asyncpg": True,
    "psycopg_async": True,
    "pymysql": False,
    "asyncmy": True,
}
"""The drivers, and whether they are used in tasks instead of threads."""

_NO_SETTING = {"pg8000", "pymysql", "asyncmy"}

WAYS = ("plugin", "any", "driver alone")
LAGS = (0.0, 1.0, 5.0, 15.0)
BEFORE, AFTER = 2.0, 5.0
"""Seconds of load before the fault, and after the name has moved."""

PAUSE = 1 / 320
"""Seconds between two writes of a worker, for each worker: so many writes a second are wanted."""

BEHIND = 0.5
_LOSSY = {"psycopg", "asyncpg", "pymysql"}
DEADLINE = 100.0


def main() -> int:
    """Measure, print, and say whether the plugin keeps its targets."""
    command = measure.parser(str(__doc__), rounds=1, driver=DRIVERS, way=WAYS, kind=KINDS)
    command.add_argument(
        "--lag", action="append", type=_lag, metavar="SECONDS", help="repeatable; default 0 1 5 15"
    )
    command.add_argument("--threads", type=measure.positive_integer, default=16)
    command.add_argument("--tasks", type=measure.positive_integer, default=64)
    command.add_argument(
        "--quick",
        action="store_true",
        help="one failover with psycopg, 4 threads, a lag of 0.5 s, with and without",
    )
    given = command.parse_args()
    if given.quick:
        given.driver, given.way = given.driver or ["psycopg"], given.way or ["plugin", "any"]
        given.lag, given.threads, given.tasks = given.lag or [0.5], 4, 8
    drivers = given.driver or DRIVERS
    runs: Runs = {}
    lossy: Runs = {}
    for engine in dict.fromkeys(KNOWN[driver].engine for driver in drivers):
        some = [driver for driver in drivers if KNOWN[driver].engine == engine]
        with Cluster(synchronous=True, engine=engine) as cluster:
            runs |= measure.interleave(_cases(cluster, given, some), given.rounds)
        few = [driver for driver in some if given.driver or driver in _LOSSY]
        if not given.quick and few:
            with Cluster(synchronous=False, engine=engine) as cluster:
                lossy |= measure.interleave(_lossy_cases(cluster, given, few), given.rounds)
    rows = summaries(runs)
    missed = [row for row in rows if row["misses"]]
    results = {
        "benchmark": "failover",
        "rounds": given.rounds,
        "threads": given.threads,
        "tasks": given.tasks,
        "within_target": not missed,
        "results": rows,
        "asynchronous": summaries(lossy),
        "curve": curve(runs),
        "failovers": [
            _brief(run) for some in (runs, lossy) for each in some.values() for run in each
        ],
    }
    return measure.finish(given, results, headline, text, pictures)


def _lag(text: str) -> float:
    if not 0 <= (seconds := float(text)) <= 60:  # noqa: PLR2004 - nothing documented is longer
        raise argparse.ArgumentTypeError(f"{text}: expected 0 to 60 seconds")
    return seconds


def _cases(
    cluster: Cluster, given: Any, drivers: Sequence[str]
) -> dict[str, Callable[[], dict[str, Any]]]:
    """Each driver with every lag; from one driver to the next, the kinds move by one."""
    kinds, cases = given.kind or KINDS, {}
    for first, driver in enumerate(drivers):
        for number, lag in enumerate(given.lag or LAGS, first):
            kind = kinds[number % len(kinds)]
            for way in given.way or WAYS:
                if way != "driver alone" or driver not in _NO_SETTING:
                    case = {"driver": driver, "way": way, "kind": kind, "lag": lag}
                    case["behind"] = 0.0
                    cases[f"{driver}, {way}, {kind}, {lag:g} s late"] = _case(cluster, given, case)
    return cases


def _lossy_cases(
    cluster: Cluster, given: Any, drivers: Sequence[str]
) -> dict[str, Callable[[], dict[str, Any]]]:
    cases = {}
    for driver in drivers:
        case = {"driver": driver, "way": "plugin", "kind": "killed", "lag": 1.0, "behind": BEHIND}
        cases[f"{driver}, asynchronous"] = _case(cluster, given, case)
    return cases


def _case(cluster: Cluster, given: Any, case: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    is_async = DRIVERS[case["driver"]]
    workers = given.tasks if is_async else given.threads
    task = {
        "url": cluster.urls[case["driver"]].render_as_string(),
        "way": case["way"],
        "is_async": is_async,
        "workers": workers,
        "pause": workers * PAUSE,
        "deadline": DEADLINE / 2,
        "signed": cluster.signed,
    }
    module = "benchmarks.probes.failover_client"

    def run() -> dict[str, Any]:
        cluster.start_over()
        name = f"the client of {case['driver']}"
        with CommandProcess(
            module, name=name, environ=cluster.environ, deadline=DEADLINE
        ) as client:
            client.ask("start", task)
            began = time.monotonic()
            time.sleep(BEFORE)
            if case["behind"]:
                cluster.stop_replication()
                time.sleep(case["behind"])
            cluster.fail_over(case["kind"], case["lag"])
            outcome = cluster.outcome()
            time.sleep(max(outcome["moved_at"] + AFTER - time.monotonic(), 0))
            ended = time.monotonic()
            written = client.ask("stop")
        # Anew, as writes have gone on.
        outcome = cluster.outcome()
        return case | outcome | written | {"workers": workers, "began": began, "ended": ended}

    return run


def _brief(run: dict[str, Any]) -> dict[str, Any]:
    [row] = summaries({"": [run]})
    del row["failovers"], row["misses"]
    return {name: run[name] for name in ("kind", "lag", "behind")} | row


if __name__ == "__main__":
    measure.run(main)
