"""How long connects take while credentials and the token roll over under load.

STS answers an AssumeRole after --latency seconds. --workers threads or tasks connect and close,
each with a pause of 20 ms, through one renewal of the role's credentials, with which every token
ends. A connect belongs to the rollover if it began from 0.2 s before STS was asked to 0.2 s after
its answer, and to the steady state otherwise.

plugin        ?plugin=rds_iam. It renews credentials once two thirds of their life are over.
boto3-recipe  generate_db_auth_token() of a ready client in a do_connect listener; the client is
              botocore's, which is also what runs inside of boto3's. It renews credentials once they
              have less than 900 s to live.

For each the credentials live as long as makes the renewal fall due --due seconds after the first
fetch.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.lib import charts, emulated, measure, spread

DRIVERS = {"psycopg": False, "asyncpg": True}
"""The drivers, and whether they are used in tasks instead of threads."""

WAYS: dict[str, Callable[[float], float]] = {
    "plugin": lambda due: due * 3 / 2,
    "boto3-recipe": lambda due: due + 900,
}
"""How long the credentials live, so that their renewal is due after so many seconds."""

SETTLE = 0.2
PAUSE = 0.02
TARGET = 0.5
"""The longest connect of the plugin in a rollover, in latencies of STS: none waits for it."""


def main() -> int:
    """Measure, print, and say whether a connect of the plugin waits for STS."""
    command = measure.parser(str(__doc__), rounds=1, driver=DRIVERS, way=WAYS)
    command.add_argument(
        "--latency",
        type=measure.positive_number,
        default=1.5,
        metavar="SECONDS",
        help="of STS; default: %(default)g",
    )
    command.add_argument(
        "--workers", type=measure.positive_integer, default=4, help="default: %(default)s"
    )
    command.add_argument(
        "--due",
        type=measure.positive_number,
        default=6.0,
        metavar="SECONDS",
        help="from the first fetch to the renewal; default: %(default)g",
    )
    given = command.parse_args()
    # The plugin uses credentials for nine tenths of their life.
    if given.latency >= (longest := given.due * 0.35 - SETTLE):
        command.error(
            f"--latency {given.latency:g}: expected less than {longest:.2g}, or the credentials "
            "end before STS has answered; see --due"
        )
    with emulated.Emulator() as rds:
        maximum = rds.maximum(rounds=1)
        rds.slow_sts(given.latency)
        cases = {
            f"{driver} {way}": _case(rds, driver, way, given)
            for driver in given.driver or DRIVERS
            for way in given.way or WAYS
        }
        found = measure.interleave(cases, given.rounds)
    rows = [_summary(case, runs) for case, runs in found.items()]
    results: dict[str, Any] = {
        "benchmark": "rollover",
        "rounds": given.rounds,
        "workers": given.workers,
        "sts_latency_s": given.latency,
        "emulator_maximum": maximum,
        "target": TARGET,
        "results": rows,
        "curves": {case: _curve(runs[0]) for case, runs in found.items()},
    }
    results["within_target"] = not _missed(results)
    return measure.finish(given, results, headline, text, pictures)


def _case(
    rds: emulated.Emulator, driver: str, way: str, given: Any
) -> Callable[[], dict[str, Any]]:
    url = rds.urls[driver].update_query_dict({"rds_iam_profile": emulated.PROFILE})
    task = {
        "url": url.render_as_string(),
        "way": way,
        "profile": emulated.PROFILE,
        "is_async": DRIVERS[driver],
        "workers": given.workers,
        "seconds": given.due + given.latency + SETTLE + 1.0,
        "pause": PAUSE,
        "signed": rds.signed,
    }
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    environ = {name: value for name, value in rds.environ.items() if name not in keys}

    def run() -> dict[str, Any]:
        rds.start_over(None)
        rds.lifetime(WAYS[way](given.due))
        done = emulated.client(task, environ)
        asked = [time - done["epoch"] for time in rds.sts_calls()]
        # Recorded when they come in, so the first fetch, before the load, is below zero.
        renewals = [time for time in asked if time > 0]
        if len(renewals) != 1:
            raise measure.NoResult(
                f"{driver} {way}: STS was asked {len(renewals)} times under load, not once; is the "
                "machine overloaded?"
            )
        return done | {"window": (renewals[0], renewals[0] + given.latency + SETTLE)}

    return run


def _summary(case: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    driver, way = case.split()
    steady: list[float] = []
    rollover: list[float] = []
    for run in runs:
        begin, end = run["window"]
        for began, took, ok in run["connects"]:
            if ok:
                # One that was waiting when STS was asked belongs to it as well.
                (rollover if begin - SETTLE <= began <= end else steady).append(took)
    return {
        "driver": driver,
        "way": way,
        "connects": sum(len(run["connects"]) for run in runs),
        "lost": sum(not ok for run in runs for _, _, ok in run["connects"]),
        **_times("steady", steady),
        **_times("rollover", rollover),
        "errors": [run["errors"] for run in runs],
    }


def _times(window: str, times: list[float]) -> dict[str, Any]:
    if not times:
        raise measure.NoResult(f"no connect was let in during {window}")
    return {
        f"{window}_quartiles_ms": list(spread.quartiles(times).times(1e3)),
        f"{window}_p50_ms": statistics.median(times) * 1e3,
        f"{window}_p99_ms": measure.percentile(times, 0.99) * 1e3,
        f"{window}_max_ms": max(times) * 1e3,
    }


def _missed(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    longest = results["target"] * results["sts_latency_s"] * 1e3
    return [
        row
        for row in results["results"]
        if row["way"] == "plugin" and (row["lost"] or row["rollover_max_ms"] >= longest)
    ]


def headline(results: Mapping[str, Any]) -> str:
    """The result in a sentence."""
    return f"While STS answers, {_result(results['results'])}"


def _result(rows: list[dict[str, Any]]) -> str:
    longest = {
        way: max((row["rollover_max_ms"] for row in rows if row["way"] == way), default=None)
        for way in WAYS
    }
    said = [f"{each:,.0f} ms ({way})" for way, each in longest.items() if each is not None]
    return f"a connect takes up to {', '.join(said)}"


def pictures(results: Mapping[str, Any]) -> dict[str, str]:
    """The charts of the results."""
    drawn, latency = {}, results["sts_latency_s"]
    for driver in dict.fromkeys(row["driver"] for row in results["results"]):
        curves = {
            case.split()[1]: curve
            for case, curve in results["curves"].items()
            if case.startswith(f"{driver} ")
        }
        begin = min(curve["window"][0] for curve in curves.values())
        end = max(curve["window"][1] for curve in curves.values()) - SETTLE
        rows = [row for row in results["results"] if row["driver"] == driver]
        drawn[f"rollover-{driver}"] = charts.lines(
            f"{driver}: while STS answers, {_result(rows)}",
            charts.Axis("seconds since the load began"),
            charts.Axis(
                "longest connect in 0.1 s, ms", log=True, least=latency * 1e3, better="less"
            ),
            {way: curve["points"] for way, curve in curves.items()},
            bands=[(begin, end, "STS is answering")],
        )
    return drawn


def _curve(run: dict[str, Any]) -> dict[str, Any]:
    """What a chart shows of a run."""
    return {"window": run["window"], "points": _longest(run)}


def _longest(run: dict[str, Any], bin_seconds: float = 0.1) -> list[tuple[float, float]]:
    """The longest of the connects that began in each tenth of a second."""
    bins: dict[int, float] = {}
    for began, took, ok in run["connects"]:
        if ok:
            at = int(began / bin_seconds)
            bins[at] = max(bins.get(at, 0.0), took * 1e3)
    return [(at * bin_seconds, bins[at]) for at in sorted(bins)]


def text(results: Mapping[str, Any]) -> str:
    """The table of the results, and the verdict."""
    missed = _missed(results)
    windows = "steady", "rollover"
    columns = "p50", "quartiles", "p99", "max"
    rule = f"No connect of the plugin may be lost, or take {TARGET:g} of STS's time in a rollover"
    verdict = "kept"
    if missed:
        verdict = "MISSED by " + ", ".join(row["driver"] for row in missed)
    return "\n".join(
        (
            f"Milliseconds, {results['workers']} workers, STS {results['sts_latency_s']:g} s.",
            f"The emulator's own maximum: {results['emulator_maximum']:.0f} logins a second.",
            "",
            measure.table(
                (
                    *("driver", "way", "connects", "lost"),
                    *(f"{window} {column}" for window in windows for column in columns),
                ),
                [
                    (
                        *(row["driver"], row["way"], str(row["connects"]), str(row["lost"])),
                        *(
                            measure.span(row.get(f"{window}_quartiles_ms"), ".1f")
                            if column == "quartiles"
                            else f"{row[f'{window}_{column}_ms']:.1f}"
                            for window in windows
                            for column in columns
                        ),
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
