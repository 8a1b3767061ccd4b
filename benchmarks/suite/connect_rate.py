"""New connections a second through a real engine, with the plugin and with a static password.

For each driver, with --concurrency threads or tasks that connect and close as fast as they can
(NullPool), in turns:

static    A password in the URL: a token that was signed beforehand.
plugin    ?plugin=rds_iam, with rds_iam_connect_rate at the ceiling.
password  One that the emulator's PostgreSQL verifies, which makes a process for each such session,
          while sessions of the others are reused. The ceiling, which is IAM's, does not apply.

Against the emulator, in a process of its own, which admits --ceiling logins in any second; where
its own maximum on this machine is less than twice that, it admits half of its maximum. Or against
--url, which names a real database and no password; AWS credentials are found as by every SDK.
There the static password takes turns as well, and more than 200 a second are refused unless
--exceed-ceiling says that AWS allows it.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from benchmarks.lib import charts, emulated, measure, spread
from benchmarks.lib.drivers import drivername
from benchmarks.lib.servers import Emulated, Real
from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._databases.postgresql import POSTGRESQL
from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam._tls import trust

DRIVERS = {
    "psycopg": ("psycopg", False),
    "psycopg-async": ("psycopg", True),
    "asyncpg": ("asyncpg", True),
    "psycopg2": ("psycopg2", False),
    "pg8000": ("pg8000", False),
}
"""Every driver in every world it knows: its name in a URL, and whether it is used in tasks."""

WAYS = ("static", "plugin", "password")


def main() -> int:
    """Measure, print, and say whether the plugin loses nothing."""
    command = _command()
    given = command.parse_args()
    if given.ceiling > emulated.CEILING and not given.exceed_ceiling:
        command.error(
            f"--ceiling {given.ceiling}: AWS documented {emulated.CEILING} a second; say "
            "--exceed-ceiling if your account is allowed more"
        )
    with ExitStack() as stack:
        maximum = None
        if given.url is None:
            rds = stack.enter_context(emulated.Emulator())
            maximum = rds.maximum()
            target: Emulated | Real = Emulated(rds)
            ceiling = emulated.ceiling(given.ceiling, maximum)
        else:
            target, ceiling = Real(_database(command, given.url)), given.ceiling
        cases = {
            f"{driver} {concurrency} {way}": _case(
                target, (driver, way, concurrency), given.seconds, ceiling
            )
            for driver in given.driver or DRIVERS
            for concurrency in given.concurrency or (1, 16)
            for way in WAYS
            if way != "password" or target.login
        }
        found = measure.interleave(cases, given.rounds)
    rows = [_summary(case, runs, found, ceiling, given.seconds) for case, runs in found.items()]
    results = {
        "benchmark": "connect_rate",
        "rounds": given.rounds,
        "seconds": given.seconds,
        "server": "emulator" if given.url is None else "--url",
        "ceiling": ceiling,
        "asked_ceiling": given.ceiling,
        "emulator_maximum": maximum,
        "within_target": not _missed(rows),
        "results": rows,
    }
    return measure.finish(given, results, headline, text, pictures)


def _command() -> argparse.ArgumentParser:
    command = measure.parser(str(__doc__), rounds=3, driver=DRIVERS)
    command.add_argument(
        "--concurrency",
        action="append",
        type=measure.positive_integer,
        help="threads or tasks; repeatable; default: 1 and 16",
    )
    command.add_argument(
        "--seconds",
        type=measure.positive_number,
        default=2.0,
        help="of each measurement; whole ones, as the ceiling is; default: %(default)g",
    )
    emulated.take_ceiling(command)
    command.add_argument("--url", help="of a real database, such as postgresql://app@mydb.…/app")
    command.add_argument(
        "--exceed-ceiling", action="store_true", help=f"allow more than {emulated.CEILING} a second"
    )
    return command


def _database(command: argparse.ArgumentParser, text: str) -> URL:
    try:
        url = make_url(text)
        if url.password is not None:
            command.error("--url: leave out the password; a token takes its place")
        named = str(url.query.get("rds_iam_ca", "")) or None
        host = parse_host(str(url.host))
        ca = trust.locate_ca({"rds_iam_ca": named}, host, places=POSTGRESQL.ca_places).path
    except (ArgumentError, ConfigError) as error:
        command.error(f"--url: {error}")
    return url.update_query_dict({"plugin": "rds_iam", "rds_iam_ca": ca})


def _case(
    target: Emulated | Real, what: tuple[str, str, int], seconds: float, ceiling: int
) -> Callable[[], dict[str, Any]]:
    driver, way, concurrency = what
    name, is_async = DRIVERS[driver]
    url = target.url.set(drivername=drivername(name))
    url = url.update_query_dict({"rds_iam_connect_rate": str(ceiling)})

    def run() -> dict[str, Any]:
        target.prepare(ceiling)
        task = {
            "url": url.render_as_string(),
            "way": way,
            "is_async": is_async,
            "workers": concurrency,
            "seconds": seconds,
            "pace": target.limiter if way == "static" else None,
            "rest": target.rest,
            "signed": target.signed,
            "login": target.login,
        }
        return emulated.client(task, target.environ) | {"refused": target.refused()}

    return run


def _summary(
    case: str,
    runs: list[dict[str, Any]],
    found: dict[str, list[dict[str, Any]]],
    ceiling: int,
    seconds: float,
) -> dict[str, Any]:
    driver, concurrency, way = case.split()
    rates = _rates(runs, seconds)
    static = _rates(found[f"{driver} {concurrency} static"], seconds)
    times = [took for run in runs for _, took, ok in run["connects"] if ok]
    rate = statistics.median(rates)
    return {
        "driver": driver,
        "concurrency": int(concurrency),
        "way": way,
        "per_second": rate,
        "of_ceiling": rate / ceiling,
        "of_static": statistics.median(
            mine / other if other else 0.0 for mine, other in zip(rates, static, strict=True)
        ),
        "lost": sum(not ok for run in runs for _, _, ok in run["connects"]),
        "refused": sum(run["refused"] for run in runs),
        "quartiles_ms": list(spread.quartiles(times).times(1e3)) if times else None,
        "p50_ms": measure.percentile(times, 0.5) * 1e3 if times else 0.0,
        "p99_ms": measure.percentile(times, 0.99) * 1e3 if times else 0.0,
        "errors": [run["errors"] for run in runs],
    }


def _rates(runs: list[dict[str, Any]], seconds: float) -> list[float]:
    """Connects a second that were let in and had ended when the time was up."""
    return [
        sum(ok and began + took <= seconds for began, took, ok in run["connects"]) / seconds
        for run in runs
    ]


def _missed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["way"] == "plugin" and (row["lost"] or row["refused"])]


def headline(results: Mapping[str, Any]) -> str:
    """The result in a sentence."""
    rows, seconds = results["results"], results["seconds"] * results["rounds"]
    rate = statistics.median(row["of_ceiling"] for row in rows if row["way"] == "plugin")
    shares: dict[str, list[float]] = {way: [] for way in WAYS}
    for row in rows:
        wanted = row["lost"] + row["per_second"] * seconds
        shares[row["way"]].append(row["lost"] / wanted if wanted else 0.0)
    return (
        f"The plugin uses {rate:.0%} of the ceiling and loses {max(shares['plugin']):.0%} of the "
        f"connects; without turns up to {max(shares['static']):.0%} are lost"
    )


def pictures(results: Mapping[str, Any]) -> dict[str, str]:
    """The charts of the results."""
    ceiling, seconds = results["ceiling"], results["seconds"] * results["rounds"]
    groups: dict[str, dict[str, charts.Bar]] = {}
    for row in results["results"]:
        name = f"{row['driver']} x {row['concurrency']}"
        bar = charts.Bar(row["per_second"], lost=row["lost"] / seconds)
        groups.setdefault(name, {})[row["way"]] = bar
    axis = charts.Axis(
        "connects accepted a second, and red: lost (less red is better)", least=ceiling * 1.1
    )
    line = ceiling, f"the ceiling, {ceiling}"
    return {"connect_rate": charts.bars(headline(results), axis, groups, line=line)}


def text(results: Mapping[str, Any]) -> str:
    """The table of the results, and the verdict."""
    lost = _missed(results["results"])
    misses = ", ".join(f"{row['driver']} x {row['concurrency']}" for row in lost)
    verdict = f"MISSED by {misses}" if lost else "kept"
    return "\n".join(
        (
            emulated.limits(results),
            "",
            measure.table(
                (
                    *("driver", "concurrency", "way", "per second", "of ceiling", "of static"),
                    *("refused", "lost", "p50 ms", "quartiles", "p99 ms"),
                ),
                [
                    (
                        row["driver"],
                        str(row["concurrency"]),
                        row["way"],
                        f"{row['per_second']:.1f}",
                        f"{row['of_ceiling']:.2f}",
                        f"{row['of_static']:.2f}",
                        str(row["refused"]),
                        str(row["lost"]),
                        f"{row['p50_ms']:.1f}",
                        measure.span(row.get("quartiles_ms"), ".1f"),
                        f"{row['p99_ms']:.1f}",
                    )
                    for row in results["results"]
                ],
            ),
            "",
            f"With the plugin none may be refused or lost: {verdict}.",
        )
    )


if __name__ == "__main__":
    measure.run(main)
