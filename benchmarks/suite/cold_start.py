"""What a process pays for its first token: time and memory, from import to the driver.

Each round has a fresh process for each way, in which SQLAlchemy and psycopg are there already, and
an engine without AWS. Nothing is asked of any server: the driver's connect is replaced.

plugin    Import it, create_engine() with ?plugin=rds_iam, and the first connect up to the driver.
botocore  Import botocore, make its client for RDS, create_engine() with a do_connect listener that
          calls generate_db_auth_token(), and the first connect up to the driver. It is the client
          that runs inside of boto3's.
boto3     The same with boto3's own client, if boto3 is installed.

Credentials are in the environment, where AWS Lambda puts them, or in a shared credentials file, for
which the plugin imports botocore as well. The targets are those of the environment.

Memory is what the process's resident memory has grown by when the first token is there.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.lib import charts, emulated, measure
from benchmarks.lib.ca import ca_file
from benchmarks.lib.database_process import own_environment

WAYS = ("plugin", "botocore", "boto3")
PLACES = ("environment", "file")
STEPS = ("import", "engine", "token")
SHARE = 0.5
"""The most of botocore's time that the plugin may take."""

LIGHTER = 10.0
"""The least that the plugin has to be lighter by, in MiB."""

_MIB = 1 << 20
_LONGEST = 60.0


def main() -> int:
    """Measure, print, and say whether the plugin keeps its targets."""
    command = measure.parser(str(__doc__), rounds=15)
    given = command.parse_args()
    with ca_file() as ca:
        ways = [way for way in WAYS if way == "plugin" or importlib.util.find_spec(way)]
        cases = {
            f"{place} {way}": _case(way, ca, _environ(place, Path(ca).parent))
            for place in PLACES
            for way in ways
        }
        found = measure.interleave(cases, given.rounds)
    rows = [_summary(case, runs) for case, runs in found.items()]
    mine, others = found["environment plugin"], found["environment botocore"]
    share = statistics.median(
        _total(one) / _total(other) for one, other in zip(mine, others, strict=True)
    )
    lighter = statistics.median(map(_memory, others)) - statistics.median(map(_memory, mine))
    kept = share <= SHARE and lighter >= LIGHTER
    results = {
        "benchmark": "cold_start",
        "rounds": given.rounds,
        "share_of_botocore": share,
        "lighter_mib": lighter,
        "target_share": SHARE,
        "target_lighter_mib": LIGHTER,
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


def _environ(place: str, directory: Path) -> dict[str, str]:
    file = directory / "credentials"
    keys = {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    }
    lines = [f"{name.lower()} = {value}" for name, value in keys.items()]
    file.write_text("\n".join(("[default]", *lines, "")), encoding="utf-8")
    environ = own_environment() | {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    if place == "environment":
        return environ | keys | {"AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return environ | {"AWS_SHARED_CREDENTIALS_FILE": str(file)}


def _case(way: str, ca: str, environ: dict[str, str]) -> Callable[[], dict[str, Any]]:
    def run() -> dict[str, Any]:
        found: dict[str, Any] = emulated.run_module(
            "benchmarks.probes.cold_probe", environ, way, ca, name=way, limit=_LONGEST
        )
        return found

    return run


def _total(run: dict[str, Any]) -> float:
    return float(sum(run["seconds"].values()))


def _memory(run: dict[str, Any]) -> float:
    return float(run["bytes"].get("now", run["bytes"]["highest"])) / _MIB


def _summary(case: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    place, way = case.split()
    return {
        "credentials": place,
        "way": way,
        **{
            f"{step}_ms": statistics.median(run["seconds"][step] for run in runs) * 1e3
            for step in STEPS
        },
        "total_ms": statistics.median(map(_total, runs)) * 1e3,
        "memory_mib": statistics.median(map(_memory, runs)),
        "highest_mib": statistics.median(run["bytes"]["highest"] / _MIB for run in runs),
    }


def _charts(rows: list[dict[str, Any]]) -> dict[str, str]:
    def groups(name: str) -> dict[str, dict[str, float]]:
        return {
            f"keys: {place}": {row["way"]: row[name] for row in rows if row["credentials"] == place}
            for place in PLACES
        }

    return {
        "cold_start": charts.bars(
            "From import to the first token, in a fresh process",
            charts.Axis("milliseconds"),
            groups("total_ms"),
        ),
        "cold_start-memory": charts.bars(
            "Memory for the first token, in a fresh process",
            charts.Axis("MiB"),
            groups("memory_mib"),
        ),
    }


def _text(results: dict[str, Any]) -> str:
    verdict = "kept" if results["within_target"] else "MISSED"
    found = (
        f"With keys in the environment the plugin takes {results['share_of_botocore']:.2f} of "
        f"botocore's time and is {results['lighter_mib']:.1f} MiB lighter;\nthe targets, at most "
        f"{SHARE:g} and at least {LIGHTER:g} MiB, are {verdict}."
    )
    names = (*(f"{step}_ms" for step in (*STEPS, "total")), "memory_mib", "highest_mib")
    return "\n".join(
        (
            "Medians of fresh processes; memory is what resident memory has grown by.",
            "",
            measure.table(
                (
                    "credentials",
                    "way",
                    *(name.replace("_", " ").replace("mib", "MiB") for name in names),
                ),
                [
                    (row["credentials"], row["way"], *(f"{row[name]:.1f}" for name in names))
                    for row in results["results"]
                ],
            ),
            "",
            found,
        )
    )


if __name__ == "__main__":
    measure.run(main)
