"""What a process pays for its first token: CPU time and memory, from import to the driver.

Each round has a fresh process for each place of credentials and each way, in which SQLAlchemy, the
driver and an engine without AWS are there already. No database is asked: the driver's connect is
replaced.

plugin              Import it, create_engine() with ?plugin=rds_iam, and the first connect up to the
                    driver, psycopg.
plugin async        The same with create_async_engine() and asyncpg.
plugin aiobotocore  The same with rds_iam_credentials=aiobotocore, if it is installed, for places
                    where it is needed.
botocore            Import botocore, make its client for RDS, create_engine() with a do_connect
                    listener that calls generate_db_auth_token(), and the first connect up to the
                    driver. It is the client that runs inside of boto3's.
boto3               The same with boto3's own client, in an environment of its own, which is made
                    once (see benchmarks/peers/environments.py).
import botocore     import botocore.session, and nothing else.

Credentials are in the environment, where AWS Lambda puts them; in a shared credentials file; at the
endpoint of an ECS task, of an EKS pod (Pod Identity) and of an EC2 instance (IMDS); and at STS for
a web identity (IRSA). The endpoints are the emulator's, over plain HTTP, which that of STS is not
on AWS: its TLS comes on top, for all ways alike.

CPU time is that of all threads of the process; memory is what its resident memory has grown by when
the first token is there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from benchmarks.lib import charts, emulated, measure, spread
from benchmarks.lib.ca import ca_file
from benchmarks.lib.command_process import HERE, Python
from benchmarks.lib.workloads import PLACES, environments
from benchmarks.peers import environments as peers

WAYS = ("plugin", "plugin async", "plugin aiobotocore", "botocore", "boto3")
ALONE = "import botocore"
STEPS = ("import", "engine", "token")

SHARE = 0.5
"""The most of botocore's CPU time that the plugin may take where no botocore is needed."""

LIGHT = ("environment", "ECS", "EKS")
"""The places where that is so."""

LIGHTER = 10.0
"""The least that the plugin has to be lighter by there, in MiB."""

DEARER = 0.2
"""The most that an async engine may take longer than a sync one, of the import of botocore."""

_MIB = 1 << 20
_LONGEST = 60.0


def main() -> int:
    """Measure, print, and say whether the plugin keeps its targets."""
    command = measure.parser(str(__doc__), rounds=5, place=PLACES, way=WAYS)
    given = command.parse_args()
    with contextlib.ExitStack() as running:
        ca, environs = running.enter_context(ca_file()), running.enter_context(environments())
        pythons = _pythons(given.way or WAYS, running)
        cases = {
            f"{place}: {way}": _case(way, ca, environs[place], python)
            for place in given.place or PLACES
            for way, python in pythons.items()
            if way != "plugin aiobotocore" or place not in LIGHT
        }
        cases[f": {ALONE}"] = _case(ALONE, ca, environs["environment"])
        for way, python in pythons.items():
            _case(way, ca, environs["file"], python)()  # compiles what it imports
        found = measure.interleave(cases, given.rounds)
    rows = [_summary(case, runs) for case, runs in found.items()]
    verdicts = _verdicts(rows)
    results = {
        "benchmark": "cold_start",
        "rounds": given.rounds,
        "verdicts": verdicts,
        "within_target": all(each["verdict"] == spread.KEPT for each in verdicts),
        "results": rows,
    }
    return measure.finish(given, results, headline, text, pictures)


def _pythons(ways: Iterable[str], running: contextlib.ExitStack) -> dict[str, Python]:
    """The ways that can be measured here, and by which Python; the others are named."""
    pythons = dict.fromkeys(ways, HERE)
    if "boto3" in pythons:
        environment = peers.make_all(["boto3"], measure.progress)["boto3"]
        if environment.executable is None:
            measure.progress(f"boto3 is left out: {environment.reason}")
            del pythons["boto3"]
        else:
            pythons["boto3"] = running.enter_context(peers.importable(environment))
    if importlib.util.find_spec("aiobotocore") is None:
        pythons.pop("plugin aiobotocore", None)
    return pythons


def _case(
    way: str, ca: str, environ: dict[str, str], python: Python = HERE
) -> Callable[[], dict[str, Any]]:
    def run() -> dict[str, Any]:
        found: dict[str, Any] = emulated.run_module(
            *("benchmarks.probes.cold_probe", environ, way, ca),
            name=way,
            limit=_LONGEST,
            python=python,
        )
        return found

    return run


def _summary(case: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    place, _, way = case.partition(": ")
    low, total, high = spread.quartiles([sum(run["cpu"].values()) * 1e3 for run in runs])
    memory = [run["bytes"].get("now", run["bytes"]["highest"]) / _MIB for run in runs]
    return {
        "credentials": place,
        "way": way,
        **{
            f"{step}_ms": statistics.median(run["cpu"][step] for run in runs) * 1e3
            for step in STEPS
        },
        "total_ms": total,
        "total_quartiles_ms": [low, high],
        "wall_ms": statistics.median(run["seconds"] for run in runs) * 1e3,
        "memory_mib": statistics.median(memory),
        "modules": statistics.median(run["modules"] for run in runs),
    }


def _verdicts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was found for each target, the target, and the verdict."""
    by_case = {(row["credentials"], row["way"]): row for row in rows}
    alone = by_case["", ALONE]["total_ms"]
    found: list[tuple[str, float, float, Literal["less", "more"]]] = []
    for place in PLACES:
        sync, other, theirs = (
            by_case.get((place, way)) for way in ("plugin", "plugin async", "botocore")
        )
        for mine in (sync, other):
            if place in LIGHT and mine and theirs:
                case = f"{place}, {mine['way']}"
                share = mine["total_ms"] / theirs["total_ms"]
                lighter = theirs["memory_mib"] - mine["memory_mib"]
                found.append((f"{case}: of botocore's CPU time, at most", share, SHARE, "less"))
                found.append((f"{case}: MiB lighter, at least", lighter, LIGHTER, "more"))
        if sync and other:
            dearer = (other["total_ms"] - sync["total_ms"]) / alone
            what = f"{place}, async dearer than sync: of botocore's import, at most"
            found.append((what, dearer, DEARER, "less"))
    return [
        {
            "what": what,
            "found": value,
            "target": target,
            "verdict": spread.verdict(value, target, None, better),
        }
        for what, value, target, better in found
    ]


def headline(results: Mapping[str, Any]) -> str:
    """The result in a sentence."""
    found = _compared(results, "total_ms", "ms")
    return f"The first token of a fresh process takes {found} of CPU time"


def pictures(results: Mapping[str, Any]) -> dict[str, str]:
    """The charts of the results."""
    return {
        "cold_start": charts.bars(
            headline(results),
            charts.Axis("milliseconds of CPU time, with quartiles", better="less"),
            _groups(results, lambda row: charts.Bar(row["total_ms"], *row["total_quartiles_ms"])),
        ),
        "cold_start-memory": charts.bars(
            f"The first token takes {_compared(results, 'memory_mib', 'MiB')}",
            charts.Axis("MiB", better="less"),
            _groups(results, lambda row: charts.Bar(row["memory_mib"])),
        ),
    }


def _groups(
    results: Mapping[str, Any], bar: Callable[[dict[str, Any]], charts.Bar]
) -> dict[str, dict[str, charts.Bar]]:
    found: dict[str, dict[str, charts.Bar]] = {}
    for row in results["results"]:
        found.setdefault(row["credentials"] or "alone", {})[row["way"]] = bar(row)
    return found


def _compared(results: Mapping[str, Any], name: str, unit: str) -> str:
    """A number of the plugin's and of botocore's client, in ECS or else where both are known."""
    by_place: dict[str, dict[str, float]] = {}
    for row in results["results"]:
        by_place.setdefault(row["credentials"], {})[row["way"]] = row[name]
    for place in ("ECS", *by_place):
        found = by_place.get(place, {})
        if {"plugin", "botocore"} <= found.keys():
            mine, theirs = found["plugin"], found["botocore"]
            return f"{mine:.0f} {unit} ({place}), with botocore's client {theirs:.0f} {unit}"
    return "so much"


def text(results: Mapping[str, Any]) -> str:
    """The tables of the results, with the verdicts."""
    names = (*(f"{step}_ms" for step in (*STEPS, "total")), "wall_ms", "memory_mib", "modules")
    head = ("import ms", "engine ms", "token ms", "all ms", "wall ms", "MiB", "modules")
    return "\n".join(
        (
            "Medians of fresh processes. Milliseconds of CPU time, but for those on the wall.",
            "",
            measure.table(
                ("credentials", "way", *head, "quartiles of all"),
                [
                    (
                        row["credentials"],
                        row["way"],
                        *(f"{row[name]:.1f}" for name in names[:-1]),
                        f"{row['modules']:.0f}",
                        "{:.1f}-{:.1f}".format(*row["total_quartiles_ms"]),
                    )
                    for row in results["results"]
                ],
            ),
            "",
            measure.table(
                ("target", "found", "", "verdict"),
                [
                    (each["what"], f"{each['found']:.2f}", f"{each['target']:g}", each["verdict"])
                    for each in results["verdicts"]
                ],
            ),
        )
    )


if __name__ == "__main__":
    measure.run(main)
