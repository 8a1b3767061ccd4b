"""Many connects at once against the ceiling: how many are lost, and how long the rest take.

All connects of a storm are wanted at the same moment, each in a thread or a task of its own, after
one that has been let in before. The emulator admits --ceiling logins in any second, in a process of
its own; where its own maximum on this machine is less than twice that, it admits half of its
maximum. The ideal time is the number of connects divided by the ceiling.

plugin        ?plugin=rds_iam with rds_iam_connect_rate at the ceiling.
half          The same, but the server admits only half of that, as if others used the rest. The
              ideal is that of half the ceiling.
unpaced       The plugin with rds_iam_connect_rate=0 and rds_iam_throttle_retry=off.
boto3-recipe  generate_db_auth_token() of a ready client in a do_connect listener. The client is
              botocore's, which is also what runs inside of boto3's.
password      A password that the database itself verifies. IAM's ceiling does not apply to it, and
              so no ideal.

Peers have storms of their own, in peers.py.

Turns are waited for up to rds_iam_timeout, which is 120 s here instead of 30 s, as the last of so
many connects has to wait for longer than usual. A connect that gets no answer ends after 30 s:
psycopg would wait for ever, and drivers of MySQL for 10 s.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.lib import charts, emulated, measure, spread

TARGET = 1.05
"""The longest that a storm with the plugin may take, in ideal times."""

DRIVERS = {"psycopg": False, "asyncpg": True, "pymysql": False, "asyncmy": True}
"""The drivers, and whether they are used in tasks instead of threads."""

WAYS = ("plugin", "half", "unpaced", "boto3-recipe", "password")
TIMEOUT = 120
CONNECT_TIMEOUT = 30
REST = 1.2
"""Seconds from the first connect to the storm: the ceiling counts those of the last second."""


def main() -> int:
    """Measure, print, and say whether the plugin keeps its target."""
    command = measure.parser(str(__doc__), rounds=1, driver=DRIVERS, way=WAYS)
    command.add_argument(
        "--connects", type=measure.positive_integer, default=2000, help="default: %(default)s"
    )
    emulated.take_ceiling(command)
    given = command.parse_args()
    with emulated.Emulators(given.driver or DRIVERS) as emulators:
        maximum = emulators.maximum()
        ceiling = emulated.ceiling(given.ceiling, maximum)
        cases = {
            f"{driver} {way}": _case(emulators.of(driver), driver, way, given.connects, ceiling)
            for way in given.way or WAYS
            for driver in emulators.drivers
        }
        found = measure.interleave(cases, given.rounds)
    rows = [_summary(case, runs) for case, runs in found.items()]
    results = {
        "benchmark": "storm",
        "rounds": given.rounds,
        "connects": given.connects,
        "ceiling": ceiling,
        "asked_ceiling": given.ceiling,
        "emulator_maximum": maximum,
        "target": TARGET,
        "within_target": not any(map(_misses, rows)),
        "results": rows,
    }
    return measure.finish(given, results, headline, text, pictures)


def _case(
    rds: emulated.Emulator, driver: str, way: str, connects: int, ceiling: int
) -> Callable[[], dict[str, Any]]:
    admitted = ceiling / 2 if way == "half" else ceiling
    settings = {"rds_iam_connect_rate": str(ceiling), "rds_iam_timeout": str(TIMEOUT)}
    if driver != "asyncpg":  # which ends a connect that gets no answer after 60 s
        settings["connect_timeout"] = str(CONNECT_TIMEOUT)
    url = rds.urls[driver].update_query_dict(settings)
    task = {
        "url": url.render_as_string(),
        "way": "plugin" if way == "half" else way,
        "is_async": DRIVERS[driver],
        "connects": connects,
        "workers": connects,
        "rest": REST,
        "signed": rds.signed,
        "login": rds.login(),
    }

    def run() -> dict[str, Any]:
        rds.start_over(admitted)
        done = emulated.client(task, rds.environ)
        ended = max(began + took for began, took, _ in done["connects"])
        return done | {"ideal": connects / admitted, "seconds": ended, "server": rds.logins()}

    return run


def _summary(case: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    driver, way = case.split()
    times = [took for run in runs for _, took, ok in run["connects"] if ok]
    seconds = statistics.median(run["seconds"] for run in runs)
    return {
        "driver": driver,
        "way": way,
        "seconds": seconds,
        "times_ideal": None if way == "password" else seconds / runs[0]["ideal"],
        "let_in": len(times) / len(runs),
        "lost": sum(not ok for run in runs for _, _, ok in run["connects"]) / len(runs),
        "refused": sum(sum(run["server"]["refused"].values()) for run in runs) / len(runs),
        "most_in_a_second": max(run["server"]["most_in_a_second"] for run in runs),
        "quartiles_s": list(spread.quartiles(times)) if times else None,
        "p50_s": measure.percentile(times, 0.5) if times else 0.0,
        "p99_s": measure.percentile(times, 0.99) if times else 0.0,
        "errors": [run["errors"] for run in runs],
    }


def _misses(row: dict[str, Any]) -> bool:
    if row["way"] == "half":
        return bool(row["lost"])
    return row["way"] == "plugin" and bool(
        row["lost"] or row["refused"] or row["times_ideal"] > TARGET
    )


def headline(results: Mapping[str, Any]) -> str:
    """The result in a sentence."""
    size, rows = results["connects"], results["results"]
    mine = [row for row in rows if row["way"] in {"plugin", "half"}]
    others = [row for row in rows if row not in mine and row["way"] != "password"]
    lost = max((row["lost"] for row in mine), default=0.0)
    said = f"Of {size:,} connects at once {'none is' if not lost else f'{lost:.0f} are'} lost"
    if not others:
        return said
    few, many = (pick(row["lost"] / size for row in others) for pick in (min, max))
    return f"{said} with the plugin, {few:.0%} to {many:.0%} without turns"


def pictures(results: Mapping[str, Any]) -> dict[str, str]:
    """The charts of the results."""
    groups: dict[str, dict[str, charts.Bar]] = {}
    for row in results["results"]:
        bar = charts.Bar(row["let_in"], lost=row["lost"])
        groups.setdefault(row["driver"], {})[row["way"]] = bar
    axis = charts.Axis(
        "connects accepted, and red: lost (less red is better)", least=results["connects"]
    )
    return {"storm": charts.bars(headline(results), axis, groups)}


def text(results: Mapping[str, Any]) -> str:
    """The table of the results, and the verdict."""
    missed = [row for row in results["results"] if _misses(row)]
    rule = (
        f"With the plugin none may be lost or refused, in at most {TARGET:g} ideal times; at half "
        "the ceiling none may be lost"
    )
    verdict = "kept"
    if missed:
        verdict = "MISSED by " + ", ".join(f"{row['driver']} {row['way']}" for row in missed)
    return "\n".join(
        (
            f"{results['connects']} connects at once. {emulated.limits(results)}",
            "",
            measure.table(
                (
                    *("driver", "way", "let in", "lost", "refused", "most in 1 s"),
                    *("seconds", "times ideal", "p50 s", "quartiles", "p99 s"),
                ),
                [
                    (
                        row["driver"],
                        row["way"],
                        f"{row['let_in']:.0f}",
                        f"{row['lost']:.0f}",
                        f"{row['refused']:.0f}",
                        str(row["most_in_a_second"]),
                        f"{row['seconds']:.2f}",
                        # What loses connects is no faster for it.
                        "-"
                        if row["lost"] or row["times_ideal"] is None
                        else f"{row['times_ideal']:.3f}",
                        f"{row['p50_s']:.2f}",
                        measure.span(row.get("quartiles_s"), ".2f"),
                        f"{row['p99_s']:.2f}",
                    )
                    for row in results["results"]
                ],
            ),
            "",
            f"{rule}: {verdict}.",
        )
    )


if __name__ == "__main__":
    measure.run(main)
