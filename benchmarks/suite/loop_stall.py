"""How long the event loop stands still while AWS is slow: the longest gap between two ticks.

STS answers an AssumeRole after half a second. In each round every way gets fresh processes, in
which a ticker runs every millisecond through

first    the first connect of the process, importing botocore or aiobotocore included
warm     ten connects with the token in hand: what the driver and its TLS take by themselves
renewal  connects that go on while credentials become stale and are renewed
expired  a connect that finds the credentials expired and has to wait for new ones

for

no-aws              a token that is there already: the driver's own gap on a first connect
plugin-aiobotocore  ?plugin=rds_iam&rds_iam_credentials=aiobotocore
plugin-botocore     ?plugin=rds_iam&rds_iam_credentials=botocore
boto3-recipe        generate_db_auth_token() in a do_connect listener, its client made beforehand
                    (botocore's, which is what runs inside of boto3's). With credentials that live
                    as short as they do here it calls STS on every connect, so it has no "warm".

On a loaded machine as many busy processes as there are processors run beside the plugin's ways,
which are measured there with the first of the drivers.

"idle gap" is the longest gap of a loop that has nothing to do: the noise of this machine.
"of it busy" is the CPU time this process had in its longest gap, in any thread; the rest was
waiting, for a blocking call or for a machine that did something else.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from benchmarks.lib import charts, emulated, load, measure, spread
from sqlalchemy_rds_iam._aws.sigv4 import Credentials, sign
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint

TARGET = 0.020
"""Seconds that the loop may stand still in a first connect and in a renewal, in the median, on a
machine that does nothing else."""

DRIVERS = ("asyncpg", "psycopg", "asyncmy")
PLUGIN = ("plugin-aiobotocore", "plugin-botocore")
WAYS = ("no-aws", *PLUGIN, "boto3-recipe")
MACHINES = ("idle", "loaded")
SHORT_LIFE = 2.0
LONGEST_RUN = 120.0

Windows = dict[str, dict[str, float]]


def main() -> int:
    """Measure, print, and say whether the plugin keeps its target."""
    command = measure.parser(str(__doc__), rounds=3, driver=DRIVERS, way=WAYS, machine=MACHINES)
    command.add_argument(
        "--latency", type=float, default=0.5, metavar="SECONDS", help="of STS; default 0.5"
    )
    given = command.parse_args()
    if given.latency < 0:
        command.error(f"--latency {given.latency}: expected seconds from 0 on")
    with emulated.Emulators(given.driver or DRIVERS) as emulators:
        maximum = emulators.maximum(rounds=1)
        for rds in emulators:
            rds.slow_sts(given.latency)
        cases = {
            f"{machine} {driver} {way}": _case(
                emulators.of(driver), driver, way, given.latency, loaded=machine == "loaded"
            )
            for machine in given.machine or MACHINES
            for driver in emulators.drivers[: None if machine == "idle" else 1]
            for way in given.way or WAYS
            if machine == "idle" or way in PLUGIN
        }
        found = measure.interleave(cases, given.rounds)
    rows = [row for case, runs in found.items() for row in _summary(case, runs)]
    results = {
        "benchmark": "loop_stall",
        "rounds": given.rounds,
        "sts_latency_s": given.latency,
        "emulator_maximum": maximum,
        "target_ms": TARGET * 1e3,
        "within_target": not _missed(rows),
        "results": rows,
    }
    return measure.finish(given, results, headline, text, pictures)


def _case(
    rds: emulated.Emulator, driver: str, way: str, latency: float, *, loaded: bool
) -> Callable[[], list[Windows]]:
    def run() -> list[Windows]:
        with load.busy() if loaded else contextlib.nullcontext():
            return measured()

    def measured() -> list[Windows]:
        # Renewed at 2/3 of their life, used to 9/10 of it: the answer has to come in between.
        renewal = max(6 * latency, 3.0)
        task = {"way": way, "latency": latency}
        if way == "no-aws":
            return [_process(rds, driver, task | {"windows": ["warm"], "lifetime": renewal})]
        warm = ["warm"] if way in PLUGIN else []
        return [
            _process(rds, driver, task | {"windows": [*warm, name], "lifetime": lifetime})
            for name, lifetime in (("renewal", renewal), ("expired", SHORT_LIFE))
        ]

    return run


def _process(rds: emulated.Emulator, driver: str, task: dict[str, Any]) -> Windows:
    rds.start_over(None)
    rds.lifetime(task["lifetime"])
    way, windows = task["way"], task["windows"]
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    environ = {name: value for name, value in rds.environ.items() if name not in keys}
    task = task | {
        "url": rds.urls[driver].render_as_string(),
        "profile": emulated.PROFILE,
        "endpoint": rds.signed,
        "token": _token(rds),
    }
    found: Windows = emulated.run_module(
        "benchmarks.probes.stall_probe",
        environ,
        task=task,
        name=f"{driver} {way}",
        limit=LONGEST_RUN,
    )
    calls = len(rds.sts_calls())
    if way in PLUGIN and calls != len({"renewal", "expired"} & set(windows)) + 1:
        raise measure.NoResult(
            f"{driver} {way}: {calls} calls to STS in the windows first and {windows}, so this "
            "was not what it is called; is the machine overloaded?"
        )
    return found


def _token(rds: emulated.Emulator) -> str:
    signed, environ = rds.signed, rds.environ
    endpoint = Endpoint(signed["host"], signed["port"], "app", signed["region"])
    key = Credentials(environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"])
    return sign(key, endpoint, time.time()).password


def _summary(case: str, rounds: list[list[Windows]]) -> list[dict[str, Any]]:
    machine, driver, way = case.split()
    processes = [process for processes in rounds for process in processes]
    rows = []
    for window in ("first", "warm", "renewal", "expired"):
        found = [process[window] for process in processes if window in process]
        if not found:
            continue
        rows.append(
            {
                "machine": machine,
                "driver": driver,
                "way": way,
                "window": window,
                "samples": len(found),
                "gap_ms": statistics.median(each["gap_ms"] for each in found),
                "gap_quartiles_ms": list(spread.quartiles([each["gap_ms"] for each in found])),
                "worst_gap_ms": max(each["gap_ms"] for each in found),
                "busy_ms": statistics.median(each["busy_ms"] for each in found),
                "longest_connect_ms": statistics.median(
                    each["longest_connect_ms"] for each in found
                ),
                "idle_gap_ms": max(each["idle"]["gap_ms"] for each in processes),
                "create_engine_ms": statistics.median(
                    each["create"]["wall_ms"] for each in processes
                ),
            }
        )
    return rows


def _missed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in _watched(rows, PLUGIN) if row["gap_ms"] >= TARGET * 1e3]


def _watched(rows: list[dict[str, Any]], ways: Iterable[str]) -> list[dict[str, Any]]:
    """Where AWS is asked and no connect has to wait for it, on a machine that does nothing else."""
    return [
        row
        for row in rows
        if row["way"] in ways
        and row.get("machine", "idle") == "idle"
        and row["window"] in {"first", "renewal"}
    ]


def headline(results: Mapping[str, Any]) -> str:
    """The result in a sentence."""
    mine, recipe = (
        max((row["gap_ms"] for row in _watched(results["results"], ways)), default=0.0)
        for ways in (PLUGIN, ["boto3-recipe"])
    )
    return (
        f"While AWS is asked the event loop stands still for {mine:.0f} ms at the most, with "
        f"boto3's recipe for {recipe:,.0f} ms"
    )


def pictures(results: Mapping[str, Any]) -> dict[str, str]:
    """The charts of the results."""
    groups: dict[str, dict[str, float]] = {}
    for row in results["results"]:
        # The others have no connect that need not wait, or no AWS.
        if row.get("machine", "idle") == "idle" and row["window"] in {"first", "renewal"}:
            groups.setdefault(f"{row['driver']} {row['window']}", {})[row["way"]] = row["gap_ms"]
    axis = charts.Axis("longest gap of the event loop, milliseconds", log=True, better="less")
    line = results["target_ms"], f"target {results['target_ms']:g} ms"
    return {"loop_stall": charts.bars(headline(results), axis, groups, line=line)}


def text(results: Mapping[str, Any]) -> str:
    """The table of the results, and the verdict."""
    missed = _missed(results["results"])
    names = {
        "worst_gap_ms": "worst gap",
        "busy_ms": "of it busy",
        "longest_connect_ms": "longest connect",
        "idle_gap_ms": "idle gap",
        "create_engine_ms": "create_engine",
    }
    verdict = "kept by the median in every one"
    if missed:
        verdict = "MISSED by the median in " + ", ".join(
            f"{row['driver']} {row['way']} {row['window']} ({row['gap_ms']:.1f} ms)"
            for row in missed
        )
    rule = f"The loop may stand still for {TARGET * 1e3:g} ms in a first connect and in a renewal"
    return "\n".join(
        (
            f"Milliseconds, STS answering after {results['sts_latency_s']:g} s.",
            f"The emulator's own maximum: {results['emulator_maximum']:.0f} logins a second.",
            "",
            measure.table(
                (
                    *("machine", "driver", "way", "window", "median gap", "quartiles"),
                    *names.values(),
                ),
                [
                    (
                        row.get("machine", "idle"),
                        *(row[n] for n in ("driver", "way", "window")),
                        f"{row['gap_ms']:.1f}",
                        measure.span(row.get("gap_quartiles_ms"), ".1f"),
                        *(f"{row[n]:.1f}" for n in names),
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
