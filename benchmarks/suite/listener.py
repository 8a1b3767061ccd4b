"""What a connect costs on top of SQLAlchemy's own creator, once the token is there.

Ways to give each new connection a password, on engines whose DBAPI does nothing:

plain         SQLAlchemy alone, no listener. What is added is counted from here.
empty         a do_connect listener that does nothing: what SQLAlchemy charges for any. Measured
              twice, as "empty again", to know how much two equal things differ.
plugin        ?plugin=rds_iam, its token signed and fresh, with a CA file that holds one authority.
plugin, bundle  the same with a file like Amazon's bundle, which is narrowed for libpq's drivers and
              is a context for the others. Both take their turns of the connect rate limit.
simplest      the least a do_connect listener with a cache can do: look up a dict, compare a time,
              set the password. It stands for the simplest of the published plugins. It has no
              lock, no TLS settings, no renewal and no second try.
boto3-recipe  AWS's documented recipe: generate_db_auth_token() of a ready client on every connect.
              The client is botocore's, which is also what runs inside of boto3's.

Nothing listens anywhere: dialect.connect is replaced, credentials and CA are invented. It is the
CPU time of this thread that counts.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import botocore.session
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util import greenlet_spawn

from benchmarks.lib import charts, measure, spread
from benchmarks.lib.ca import ca_file
from benchmarks.lib.drivers import missing
from benchmarks.lib.nowhere import CONNECTION, REGION, own_environment, url
from sqlalchemy_rds_iam._databases import known
from sqlalchemy_rds_iam.testing.server.ca_bundle import ca_bundle

BUDGET_US = 2.0
"""Microseconds that the plugin may add to a connect, with one CA."""
MOST_TIMES_EMPTY = 2.8
"""How many times an empty listener's connect may one of the plugin take, the bundle included."""

ASYNC = {
    "psycopg": False,
    "asyncpg": True,
    "psycopg2": False,
    "pg8000": False,
    "pymysql": False,
    "asyncmy": True,
}
"""The drivers, and whether their engine is an async one."""

CALLS, WARM_UP = 50, 10


class Files(NamedTuple):
    """CA files: with one authority, and with as many as Amazon's."""

    one: str
    bundle: str


def plain(driver: str, _files: Files) -> Engine:
    """SQLAlchemy alone."""
    return _engine(driver, {})


def empty(driver: str, _files: Files) -> Engine:
    """The least that a listener costs."""
    engine = _engine(driver, {})

    @event.listens_for(engine, "do_connect")
    def _nothing(_dialect: Any, _record: Any, _cargs: Any, _cparams: dict[str, Any]) -> None:
        return None

    return engine


def plugin(driver: str, files: Files) -> Engine:
    """This project."""
    return _plugin(driver, files.one)


def with_bundle(driver: str, files: Files) -> Engine:
    """This project, with the CA file that its documentation recommends."""
    return _plugin(driver, files.bundle)


def _plugin(driver: str, ca: str) -> Engine:
    # Turns enough for a burst of calls: what they cost counts, waiting for them does not.
    options = {"plugin": "rds_iam", "rds_iam_ca": ca, "rds_iam_connect_rate": "100000"}
    return _engine(driver, options)


def simplest(driver: str, _files: Files) -> Engine:
    """A cache in its smallest form."""
    engine = _engine(driver, {})
    client = _rds_client()
    cache: dict[tuple[str, int, str], tuple[str, float]] = {}

    @event.listens_for(engine, "do_connect")
    def _provide(_dialect: Any, _record: Any, _cargs: Any, cparams: dict[str, Any]) -> None:
        key = cparams["host"], cparams["port"], cparams["user"]
        found = cache.get(key)
        if found is None or time.monotonic() >= found[1]:
            token = client.generate_db_auth_token(*key)
            found = cache[key] = (token, time.monotonic() + 600)
        cparams["password"] = found[0]

    return engine


def boto3_recipe(driver: str, _files: Files) -> Engine:
    """A token signed by botocore on every connect."""
    engine = _engine(driver, {})
    client = _rds_client()

    @event.listens_for(engine, "do_connect")
    def _provide(_dialect: Any, _record: Any, _cargs: Any, cparams: dict[str, Any]) -> None:
        cparams["password"] = client.generate_db_auth_token(
            cparams["host"], cparams["port"], cparams["user"]
        )

    return engine


WAYS: dict[str, Callable[[str, Files], Engine]] = {
    "plain": plain,
    "empty": empty,
    "plugin": plugin,
    "plugin, bundle": with_bundle,
    "empty again": empty,
    "simplest": simplest,
    "boto3-recipe": boto3_recipe,
}


def main() -> int:
    """Measure, print, and say whether the plugin keeps its budget."""
    command = measure.parser(str(__doc__), rounds=400, driver=ASYNC)
    given = command.parse_args()
    own_environment()
    with ca_file() as ca, tempfile.TemporaryDirectory() as directory:
        # The narrowed file is no business of this user's own cache.
        os.environ["XDG_CACHE_HOME"] = directory
        files = Files(ca, str(Path(directory, "bundle.pem")))
        Path(files.bundle).write_bytes(ca_bundle())
        rows = [
            row
            for driver in given.driver or ASYNC
            if missing(driver) is None
            for row in _measured(driver, files, given.rounds)
        ]
    mine = [row for row in rows if row["way"].startswith("plugin")]
    one = [row["added_us"] for row in mine if row["way"] == "plugin"]
    verdicts = [spread.verdict(added, BUDGET_US, None, "less") for added in one]
    verdicts += [row["verdict"] for row in mine]
    results = {
        "benchmark": "listener",
        "rounds": given.rounds,
        "calls_per_round": CALLS,
        "budget_us": BUDGET_US,
        "most_times_empty": MOST_TIMES_EMPTY,
        "verdict": spread.worst(verdicts),
        "within_target": spread.MISSED not in verdicts,
        "results": rows,
    }
    return measure.finish(given, results, headline, text, pictures)


def _measured(driver: str, files: Files, rounds: int) -> list[dict[str, Any]]:
    cases = {}
    for way, build in WAYS.items():
        create = _creator(build(driver, files), is_async=ASYNC[driver])
        cases[way] = lambda create=create: _seconds_of_cpu(create)
    seconds = measure.interleave(cases, rounds, label=driver)
    base, least = seconds["plain"], seconds["empty"]
    null = spread.ratio(seconds["empty again"], least)
    rows = []
    for way, own in seconds.items():
        # Round by round, so that a slow spell of the machine is in both sides of the difference.
        added = [mine - plain for mine, plain in zip(own, base, strict=True)]
        times = spread.ratio(own, least)
        rows.append(
            {
                "driver": driver,
                "way": way,
                "connect_us": spread.quartiles(own).times(1e6),
                "added_us": statistics.median(added) * 1e6,
                "times_empty": times,
                "verdict": spread.verdict(times.value, MOST_TIMES_EMPTY, null, "less"),
            }
        )
    return rows


def _seconds_of_cpu(create: Callable[[], object]) -> float:
    """What a call takes of this thread's time, once what the calls before used is in the caches."""
    for _ in range(WARM_UP):
        create()
    began = time.thread_time()
    for _ in range(CALLS):
        create()
    return (time.thread_time() - began) / CALLS


def _creator(engine: Engine, *, is_async: bool) -> Callable[[], object]:
    """What the pool calls for a new connection, warmed up and with the DBAPI taken out."""
    engine.dialect.connect = lambda *_, **__: CONNECTION  # type: ignore[method-assign,assignment]
    invoke = engine.pool._invoke_creator  # noqa: SLF001  (what Pool itself calls)

    def create() -> object:
        return invoke(None)  # type: ignore[arg-type]  # SQLAlchemy passes None here as well

    # The first connect waits for credentials, which in an async engine takes a greenlet.
    made = asyncio.run(greenlet_spawn(create)) if is_async else create()
    if made is not CONNECTION:
        raise measure.NoResult(f"the stub of {engine.dialect.driver}'s connect was not called")
    return create


def _engine(driver: str, query: dict[str, str]) -> Engine:
    # The plugin makes pg8000's socket, which is the DBAPI's part all the same.
    known.DRIVERS[driver] = known.DRIVERS[driver]._replace(dial=None)
    where = url(driver, query)
    return create_async_engine(where).sync_engine if ASYNC[driver] else create_engine(where)


def _rds_client() -> Any:
    return botocore.session.Session().create_client("rds", region_name=REGION)


def headline(results: Mapping[str, Any]) -> str:
    """The result in a sentence."""
    added: dict[str, list[float]] = {way: [] for way in ("plugin, bundle", "boto3-recipe")}
    for row in results["results"]:
        if row["way"] in added:
            added[row["way"]].append(row["added_us"])
    mine, recipe = (statistics.median(each) for each in added.values())
    return (
        f"With Amazon's bundle the plugin adds {mine:.1f} µs to a warm connect, boto3's recipe "
        f"{recipe:.0f} µs"
    )


def pictures(results: Mapping[str, Any]) -> dict[str, str]:
    """The charts of the results."""
    groups: dict[str, dict[str, float]] = {}
    for row in results["results"]:
        # What costs nothing measurable has no place on a logarithmic axis.
        if row["way"] not in {"plain", "empty again"} and row["added_us"] > 0:
            groups.setdefault(row["driver"], {})[row["way"]] = row["added_us"]
    axis = charts.Axis("microseconds that the listener adds", log=True, better="less")
    return {"listener": charts.bars(headline(results), axis, groups)}


def text(results: Mapping[str, Any]) -> str:
    """The table of the results, and the verdict."""
    verdict = (
        f"With one CA the plugin may add {results['budget_us']:g} µs; with either file its connect "
        f"may take {results['most_times_empty']:g} times that of an empty listener: "
        f"{results['verdict']}."
    )
    return "\n".join(
        (
            "Microseconds of CPU for each warm connect, DBAPI excluded; interleaved rounds.",
            "",
            measure.table(
                ("driver", "way", "connect µs", "quartiles", "added µs", "times empty"),
                [
                    (
                        row["driver"],
                        row["way"],
                        *spread.Quartiles(*row["connect_us"]).columns(),
                        f"{row['added_us']:.2f}",
                        str(spread.Interval(*row["times_empty"])),
                    )
                    for row in results["results"]
                ],
            ),
            "",
            verdict,
        )
    )


if __name__ == "__main__":
    measure.run(main)
