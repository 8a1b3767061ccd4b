"""One engine that connects to 1, 10 … 10,000 endpoints: what each costs in time and in memory.

Each connect is to another host, in random order, as in an application with a database for each
tenant. What is measured is the plugin's listener, called as SQLAlchemy calls it.

first      The first connect to an endpoint: what is to be signed is worked out, and a token signed.
warm       Every later one: the plugin looks up its token.
memory     What an endpoint keeps: its name, its token, and what connecting to it takes.

Nothing listens anywhere: dialect.connect is replaced, credentials and CA are invented.
"""

from __future__ import annotations

import functools
import gc
import itertools
import random
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import create_engine

from benchmarks.lib import charts, measure
from benchmarks.lib.ca import ca_file
from benchmarks.suite import listener

DOMAIN = listener.HOST.partition(".")[2]
COUNTS = (1, 10, 100, 1000, 10_000)
TARGET = 3.0
"""The most that a warm connect among the most endpoints may cost, in those of one endpoint."""

CALLS = 100
REST = 0.002
"""Seconds from one round to the next, in which an endpoint's turns come back."""

Connect = Callable[[str], object]


def main() -> int:
    """Measure, print, and say whether endpoints by the thousand cost as little as one."""
    command = measure.parser(str(__doc__), rounds=300)
    command.add_argument(
        "--endpoints",
        action="append",
        type=measure.positive_integer,
        help="repeatable; default: 1 to 10,000",
    )
    given = command.parse_args()
    listener.own_environment()
    with ca_file() as ca:
        counts = sorted(set(given.endpoints or COUNTS))
        rows = [_measured(count, ca, given.rounds) for count in counts]
    growth = rows[-1]["warm_us"] / rows[0]["warm_us"]
    kept = growth <= TARGET
    results = {
        "benchmark": "scale",
        "rounds": given.rounds,
        "growth": growth,
        "target": TARGET,
        "within_target": kept,
        "results": rows,
    }
    measure.report(
        as_json=given.json,
        results=results,
        text=_text(results),
        save=given.save,
        charts=_charts(rows),
    )
    return measure.TARGETS_MET if kept else measure.TARGET_MISSED


def _measured(count: int, ca: str, rounds: int) -> dict[str, Any]:
    measure.progress(f"{count} endpoints")
    hosts = [f"tenant-{number}.{DOMAIN}" for number in range(count)]
    connect = _connector(ca)
    first = measure.seconds_per_call(_each(connect, hosts), count)
    mixed = random.Random(1).sample(hosts, count)
    cases: dict[str, Callable[[], Any]] = {
        way: functools.partial(measure.seconds_per_call, _each(call, itertools.cycle(mixed)), CALLS)
        for way, call in (("nothing", _connected), ("plugin", connect))
    }
    cases["rest"] = functools.partial(time.sleep, REST)
    seconds = measure.interleave(cases, rounds, label=f"{count} endpoints")
    own = [mine - base for mine, base in zip(seconds["plugin"], seconds["nothing"], strict=True)]
    return {
        "endpoints": count,
        "first_us": first * 1e6,
        "warm_us": statistics.median(own) * 1e6,
        "memory_bytes": _memory(connect, count),
    }


def _memory(connect: Connect, count: int) -> float:
    """Bytes for each endpoint, by Python's own account of what it has allocated."""
    hosts = [f"other-{number}.{DOMAIN}" for number in range(count)]
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for host in hosts:
            # A copy, as it is the endpoint's as well that it keeps its name.
            connect(host[:1] + host[1:])
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (after - before) / count


def _each(connect: Connect, hosts: Iterable[str]) -> Callable[[], object]:
    queue = iter(hosts)
    return lambda: connect(next(queue))


def _connector(ca: str) -> Connect:
    """What SQLAlchemy calls for each new connection to a host, credentials in hand."""
    # Turns enough for a round of calls: what they cost counts, waiting for them does not.
    options = {"plugin": "rds_iam", "rds_iam_ca": ca, "rds_iam_connect_rate": "100000"}
    engine = create_engine(listener.url("psycopg", options))
    dialect = engine.dialect
    dialect.connect = _connected  # type: ignore[method-assign,assignment]
    (listens,) = dialect.dispatch.do_connect

    def connect(host: str) -> object:
        cparams = {"host": host, "port": engine.url.port, "user": listener.USER, "dbname": "app"}
        return listens(dialect, None, [], cparams)

    connect(listener.HOST)
    return connect


def _connected(*_: Any, **__: Any) -> object:
    return listener.CONNECTION


def _charts(rows: list[dict[str, Any]]) -> dict[str, str]:
    def line(name: str) -> dict[str, list[tuple[float, float]]]:
        return {"plugin": [(row["endpoints"], row[name]) for row in rows]}

    endpoints = charts.Axis("endpoints", log=True)
    most = max(row["warm_us"] for row in rows)
    return {
        "scale": charts.lines(
            "What a warm connect takes, by the number of endpoints",
            endpoints,
            charts.Axis("µs added to a connect", least=2 * most),
            line("warm_us"),
        ),
        "scale-memory": charts.lines(
            "What an endpoint keeps in memory, by their number",
            endpoints,
            charts.Axis("bytes for each endpoint"),
            line("memory_bytes"),
        ),
    }


def _text(results: dict[str, Any]) -> str:
    verdict = "kept" if results["within_target"] else "MISSED"
    return "\n".join(
        (
            "For each endpoint, DBAPI excluded; warm is the median of interleaved rounds.",
            "",
            measure.table(
                ("endpoints", "first µs", "warm µs", "memory bytes"),
                [
                    (
                        str(row["endpoints"]),
                        f"{row['first_us']:.1f}",
                        f"{row['warm_us']:.2f}",
                        f"{row['memory_bytes']:.0f}",
                    )
                    for row in results["results"]
                ],
            ),
            "",
            f"Among the most, a warm connect costs {results['growth']:.2f} times as much as among",
            f"the fewest endpoints; {TARGET:g} times are allowed: {verdict}.",
        )
    )


if __name__ == "__main__":
    measure.run(main)
