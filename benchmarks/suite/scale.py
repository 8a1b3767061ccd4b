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
import time
import tracemalloc
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import create_engine

from benchmarks.lib import charts, measure, nowhere, spread
from benchmarks.lib.ca import ca_file

DOMAIN = nowhere.HOST.partition(".")[2]
COUNTS = (1, 10, 100, 1000, 10_000)
TARGET = 10.0
"""Microseconds that a warm connect may cost, however many endpoints there are.

How many times as much as among few is a matter of the processor's cache: a connect follows a dozen
objects of its endpoint, and those of 10,000 endpoints do not fit.
"""

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
    nowhere.own_environment()
    with ca_file() as ca:
        counts = sorted(set(given.endpoints or COUNTS))
        rows = [_measured(count, ca, given.rounds) for count in counts]
    results = {
        "benchmark": "scale",
        "rounds": given.rounds,
        "target_us": TARGET,
        "within_target": all(row["warm_us"] <= TARGET for row in rows),
        "results": rows,
    }
    return measure.finish(given, results, headline, text, pictures)


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
    warm = spread.quartiles(own).times(1e6)
    return {
        "endpoints": count,
        "first_us": first * 1e6,
        "warm_us": warm.median,
        "warm_us_quartiles": [warm.low, warm.high],
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
    engine = create_engine(nowhere.url("psycopg", options))
    dialect = engine.dialect
    dialect.connect = _connected  # type: ignore[method-assign,assignment]
    (listens,) = dialect.dispatch.do_connect

    # Without a limit of the user's each name would be looked up, once, to divide ours.
    settled = {"port": engine.url.port, "user": nowhere.USER, "dbname": "app", "connect_timeout": 5}

    def connect(host: str) -> object:
        return listens(dialect, None, [], {"host": host, **settled})

    connect(nowhere.HOST)
    return connect


def _connected(*_: Any, **__: Any) -> object:
    return nowhere.CONNECTION


def headline(results: Mapping[str, Any]) -> str:
    """The result in a sentence."""
    few, many = results["results"][0], results["results"][-1]
    return (
        f"The plugin adds {many['warm_us']:.1f} µs to a connect among {many['endpoints']:,} "
        f"endpoints, and {few['warm_us']:.1f} µs to one among {few['endpoints']:,}"
    )


def pictures(results: Mapping[str, Any]) -> dict[str, str]:
    """The charts of the results."""
    rows = results["results"]
    said = f"An endpoint keeps {rows[-1]['memory_bytes'] / 1024:.1f} KiB, however many there are"
    groups = {
        f"{row['endpoints']:,} endpoints": {
            "plugin": charts.Bar(row["warm_us"], *row.get("warm_us_quartiles", (None, None)))
        }
        for row in rows
    }
    memory = {
        f"{row['endpoints']:,} endpoints": {"plugin": row["memory_bytes"] / 1024} for row in rows
    }
    added = charts.Axis("microseconds added to a warm connect", better="less")
    line = TARGET, f"target {TARGET:g} µs"
    return {
        "scale": charts.bars(headline(results), added, groups, line=line),
        "scale-memory": charts.bars(said, charts.Axis("KiB for each", better="less"), memory),
    }


def text(results: Mapping[str, Any]) -> str:
    """The table of the results, and the verdict."""
    verdict = "kept" if results["within_target"] else "MISSED"
    return "\n".join(
        (
            "For each endpoint, DBAPI excluded; warm is the median of interleaved rounds.",
            "",
            measure.table(
                ("endpoints", "first µs", "warm µs", "quartiles", "memory bytes"),
                [
                    (
                        str(row["endpoints"]),
                        f"{row['first_us']:.1f}",
                        f"{row['warm_us']:.2f}",
                        measure.span(row.get("warm_us_quartiles"), ".2f"),
                        f"{row['memory_bytes']:.0f}",
                    )
                    for row in results["results"]
                ],
            ),
            "",
            f"A warm connect may cost {TARGET:g} µs, however many endpoints there are: {verdict}.",
        )
    )


if __name__ == "__main__":
    measure.run(main)
