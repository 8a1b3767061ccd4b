"""What a whole new connection costs, with all that the driver does, against a static password.

The emulator and its PostgreSQL run in processes of their own, the client in this one. Every round
makes one connection in each way, there and back, and closes it before the next:

static, bundle  no plugin: a password, TLS that verifies the name, and a CA bundle as large as
                Amazon's; drivers that take an SSL context are given one that is made once
ssl_ca, bundle  the same for drivers that take a file in their URL, too, and read it on each connect
plugin, bundle  ?plugin=rds_iam with that bundle; drivers that read a file get the region's part
password        as static, with a password that PostgreSQL itself verifies, by SCRAM-SHA-256
static, one CA  and so on: the same with a file with one CA

The static password is a token that was signed beforehand, so that the server does the same work in
both. The bundle has the names, kinds and number of Amazon's
certificates, and that of the emulator's CA.

static again is the same engine built a second time: what it differs from "static" by is the noise.

Targets: the plugin takes at most such a share of the client's CPU time of "static", round by round,
as the table says by driver and CA file. CPU time is what other load of the machine moves least.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from benchmarks.lib import charts, emulated, measure, spread
from benchmarks.lib.connects import Sample, connects
from benchmarks.lib.drivers import DRIVERS
from sqlalchemy_rds_iam._aws.sigv4 import Credentials, sign
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam._tls.ca_bundle import narrowed
from sqlalchemy_rds_iam.testing.server.ca_bundle import ca_bundle

TARGETS = {
    "psycopg": (0.6, 1.05),
    "psycopg2": (0.6, 1.05),
    "asyncpg": (1.1, 1.1),
    "pg8000": (1.2, 1.2),
    "pymysql": (1.2, 1.2),
    "asyncmy": (1.2, 1.2),
    "aiomysql": (1.2, 1.2),
    "mysqldb": (0.35, 1.05),
    "mysqlconnector": (0.9, 1.05),
    "mariadbconnector": (0.35, 1.05),
}
"""By driver, the most of the CPU time of a static password that the plugin may take.

With the bundle, of which those have much to win that read it on every connect, and with one CA. For
pg8000, asyncpg and most drivers of MySQL the plugin keeps the deadline of a connect, which takes up
to a tenth of a millisecond.
"""

ASYNC = {"asyncpg", "asyncmy", "aiomysql"}
IN_URL = {"pymysql", "asyncmy"}
"""Drivers that take a CA file in their URL as well as an SSL context."""

AGAIN = "(again)"
NULL = "static again"


def main() -> int:
    """Measure, print, and say whether the targets are met."""
    command = measure.parser(str(__doc__), rounds=300, driver=TARGETS)
    given = command.parse_args()
    with (
        # A session is made for each connect, as RDS does; with one at a time that is no limit.
        emulated.Emulators(given.driver or TARGETS, reuse=False) as emulators,
        tempfile.TemporaryDirectory() as directory,
        asyncio.Runner() as runner,
    ):
        maximum = emulators.maximum(rounds=1)
        rows = [
            row
            for driver in emulators.drivers
            for row in _measured(driver, emulators.of(driver), Path(directory), given, runner)
        ]
    results = {
        "benchmark": "connect_cost",
        "rounds": given.rounds,
        "emulator_maximum": maximum,
        "within_target": not _missed(rows),
        "results": rows,
    }
    return measure.finish(given, results, headline, text, pictures)


def _measured(
    driver: str, rds: emulated.Emulator, directory: Path, given: Any, runner: asyncio.Runner
) -> list[dict[str, Any]]:
    rds.start_over(None)
    files = _ca_files(directory / driver, rds)
    left_out = set() if driver in IN_URL else {"ssl_ca"}
    if DRIVERS[driver].engine != "postgresql":
        left_out.add("password")
    ways = {way: build for way, build in WAYS.items() if way not in left_out}
    with ExitStack() as undo:
        cases: dict[str, Callable[[], Sample]] = {}
        for name, file in files.items():
            for way, build in ways.items():
                engine = build(rds, driver, file)
                connect = connects(engine, runner if driver in ASYNC else None)
                undo.callback(engine.dispose)
                # The first connect brings what only the first one costs: imports, the dialect.
                connect()
                cases[f"{way}, {name}"] = connect
        if min(TARGETS[driver]) < 1:
            _check_narrowed()
        # There and back: sessions that are still ending burden the client that connects next.
        turns = cases | {f"{case} {AGAIN}": cases[case] for case in reversed(cases)}
        samples = measure.interleave(turns, given.rounds, label=driver)
    return [_row(driver, way, name, samples) for name in files for way in ways]


def _ca_files(directory: Path, rds: emulated.Emulator) -> dict[str, str]:
    """The CA files by name, and an environment of AWS and of caches that is the emulator's."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "PG"))]:
        del os.environ[name]
    os.environ |= rds.environ | {"XDG_CACHE_HOME": str(directory / "cache")}
    one = str(rds.url.query["rds_iam_ca"])
    directory.mkdir()
    bundle = directory / "bundle.pem"
    bundle.write_bytes(ca_bundle() + Path(one).read_bytes())
    return {"bundle": str(bundle), "one CA": one}


def _plugin(rds: emulated.Emulator, driver: str, file: str) -> Engine:
    url = rds.urls[driver]
    if "rds_iam_host" not in url.query:
        # Such drivers verify what they dial, an address here, of which the plugin knows no region:
        # what it does for the name of an endpoint is done for it.
        part = narrowed(file, rds.signed["region"])
        file = file if part is None else part.file
    return _engine(driver, url.update_query_dict({"rds_iam_ca": file}), {})


def _static(rds: emulated.Emulator, driver: str, file: str) -> Engine:
    """An engine without the plugin, that goes to the same place."""
    return _engine(driver, _plain(rds, driver), DRIVERS[driver].tls(file))


def _by_file(rds: emulated.Emulator, driver: str, file: str) -> Engine:
    """The same with the file in the URL, of which the driver makes a context on every connect."""
    return _engine(driver, _plain(rds, driver).update_query_dict({"ssl_ca": file}), {})


def _plain(rds: emulated.Emulator, driver: str) -> URL:
    """The URL without the plugin, with a password that is a token."""
    url = rds.urls[driver]
    signed = Endpoint(rds.signed["host"], rds.signed["port"], "app", rds.signed["region"])
    key = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    return url.set(query={}, password=sign(key, signed, time.time()).password)


def _engine(driver: str, url: URL, arguments: dict[str, Any]) -> Engine:
    if driver in ASYNC:
        return create_async_engine(url, poolclass=NullPool, connect_args=arguments).sync_engine
    return create_engine(url, poolclass=NullPool, connect_args=arguments)


def _password(rds: emulated.Emulator, driver: str, file: str) -> Engine:
    """An engine without the plugin, for a user whom the database itself verifies."""
    user, password = rds.login()
    url = rds.urls[driver].set(query={}, username=user, password=password)
    return _engine(driver, url, DRIVERS[driver].tls(file))


WAYS = {
    "static": _static,
    NULL: _static,
    "password": _password,
    "ssl_ca": _by_file,
    "plugin": _plugin,
}


def _check_narrowed() -> None:
    made = list(Path(os.environ["XDG_CACHE_HOME"]).glob("*/*.pem"))
    if not made:
        raise measure.NoResult(
            "the plugin made no CA file for the region, so there is nothing to compare: is the "
            "directory for temporary files writable by others?"
        )


def _row(driver: str, way: str, name: str, samples: dict[str, list[Sample]]) -> dict[str, Any]:
    mine, static, again = (_rounds(samples, f"{each}, {name}") for each in (way, "static", NULL))
    null = spread.ratio(again.cpu, static.cpu)
    share = None if way == "static" else spread.ratio(mine.cpu, static.cpu)
    target = TARGETS[driver][name != "bundle"] if way == "plugin" else None
    return {
        "driver": driver,
        "way": way,
        "ca_file": name,
        "connect_ms": spread.quartiles(mine.wall).times(1e3),
        "client_cpu_ms": spread.quartiles(mine.cpu).times(1e3),
        "of_static": share,
        "target": target,
        "verdict": share and target and spread.verdict(share, target, null, "less"),
    }


class _Rounds(NamedTuple):
    """What a case took in each round, in seconds, by the clock and of CPU time."""

    wall: list[float]
    cpu: list[float]


def _rounds(samples: dict[str, list[Sample]], case: str) -> _Rounds:
    """The mean of both turns that a case has in every round."""
    turns = list(zip(samples[case], samples[f"{case} {AGAIN}"], strict=True))
    return _Rounds(
        [(there.wall + back.wall) / 2 for there, back in turns],
        [(there.cpu + back.cpu) / 2 for there, back in turns],
    )


def _missed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["verdict"] == spread.MISSED]


def headline(results: Mapping[str, Any]) -> str:
    """The result in a sentence."""
    shares = {
        row["driver"]: spread.Interval(*row["of_static"]).value
        for row in results["results"]
        if row["way"] == "plugin" and row["ca_file"] == "bundle"
    }
    first, least = next(iter(shares)), min(shares, key=shares.__getitem__)
    also = f", {shares[least]:.2f} with {least}" if least != first else ""
    return (
        f"With Amazon's bundle a connect takes {shares[first]:.2f} of the CPU of the same driver "
        f"alone with {first}{also}"
    )


def pictures(results: Mapping[str, Any]) -> dict[str, str]:
    """The charts of the results; what one CA costs is in the table."""
    groups: dict[str, dict[str, charts.Bar]] = {}
    for row in results["results"]:
        if row["ca_file"] == "bundle" and row["way"] != NULL:
            cpu = spread.Quartiles(*row["client_cpu_ms"])
            bar = charts.Bar(cpu.median, cpu.low, cpu.high)
            groups.setdefault(row["driver"], {})[row["way"]] = bar
    axis = charts.Axis("milliseconds of the client's CPU for a connect", log=True, better="less")
    return {"connect_cost": charts.bars(headline(results), axis, groups)}


def text(results: Mapping[str, Any]) -> str:
    """The table of the results, and the verdict."""
    verdicts = [row["verdict"] for row in results["results"] if row["verdict"]]
    verdict = spread.worst(verdicts)
    if missed := _missed(results["results"]):
        verdict += " by " + ", ".join(f"{row['driver']} with {row['ca_file']}" for row in missed)
    return "\n".join(
        (
            "Whole new connections to the emulator, verify-full; medians of interleaved rounds,",
            "with quartiles, and the ratio with its interval.",
            f"The emulator's own maximum: {results['emulator_maximum']:.0f} logins a second.",
            "",
            measure.table(
                (
                    *("driver", "CA file", "way", "connect ms", "quartiles", "client CPU ms"),
                    *("quartiles", "of static's CPU", "at most", "verdict"),
                ),
                [
                    (
                        *(row["driver"], row["ca_file"], row["way"]),
                        *spread.Quartiles(*row["connect_ms"]).columns(),
                        *spread.Quartiles(*row["client_cpu_ms"]).columns(),
                        str(spread.Interval(*row["of_static"])) if row["of_static"] else "",
                        f"{row['target']:.2f}" if row["target"] else "",
                        row["verdict"] or "",
                    )
                    for row in results["results"]
                ],
            ),
            "",
            f"At most so much of a static password's CPU time as the targets say: {verdict}.",
        )
    )


if __name__ == "__main__":
    measure.run(main)
