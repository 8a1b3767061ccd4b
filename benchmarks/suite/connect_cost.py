"""What a whole new connection costs, with all that the driver does, against a static password.

The emulator and its PostgreSQL run in processes of their own, the client in this one. Every round
makes one connection in each way, there and back, and closes it before the next:

static, bundle  no plugin: a password, sslmode=verify-full and a CA bundle as large as Amazon's
plugin, bundle  ?plugin=rds_iam with that bundle, of which it gives libpq the region's part
static, one CA  no plugin: a password, sslmode=verify-full and a file with one CA
plugin, one CA  ?plugin=rds_iam with that file

The static password is a token that was signed beforehand, as the emulator lets nothing else in: so
the server does the same work in all four. The bundle has the names, kinds and number of Amazon's
certificates, and that of the emulator's CA.

Targets, by the medians: with the bundle the plugin connects at least 1.4 times as
fast as without it, with one CA at least 0.98 times as fast.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.pool import NullPool

from benchmarks.lib import charts, emulated, measure
from sqlalchemy_rds_iam._aws.sigv4 import Credentials, sign
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint, parse_host
from sqlalchemy_rds_iam.testing.server.ca_bundle import ca_bundle

DRIVERS = ("psycopg", "psycopg2")
"""Those that go through libpq, which reads the CA file on every connect."""

TARGETS = {"bundle": 1.4, "one CA": 0.98}
"""By CA file: how many times as fast as a static password the plugin has to connect."""

AGAIN = "(again)"


class Sample(NamedTuple):
    """What one connection took, in seconds: by the clock, and of this process's CPU time."""

    wall: float
    cpu: float


def main() -> int:
    """Measure, print, and say whether the targets are met."""
    command = measure.parser(str(__doc__), rounds=300, driver=DRIVERS)
    given = command.parse_args()
    # A session is forked for each connect, as RDS does; with one at a time that is no limit.
    with emulated.Emulator(reuse=False) as rds, tempfile.TemporaryDirectory() as directory:
        maximum = rds.maximum(rounds=1)
        rds.start_over(None)
        files = _ca_files(Path(directory), rds)
        rows = [
            row
            for driver in given.driver or DRIVERS
            for row in _measured(driver, rds, files, given.rounds)
        ]
    missed = [row for row in rows if row["ratio"] is not None and row["ratio"] < row["target"]]
    results = {
        "benchmark": "connect_cost",
        "rounds": given.rounds,
        "emulator_maximum": maximum,
        "within_target": not missed,
        "results": rows,
    }
    measure.report(
        as_json=given.json,
        results=results,
        text=_text(results, missed),
        save=given.save,
        charts={"connect_cost": _chart(rows)},
    )
    return measure.TARGET_MISSED if missed else measure.TARGETS_MET


def _ca_files(directory: Path, rds: emulated.Emulator) -> dict[str, str]:
    """The CA files by name, and an environment of AWS and of caches that is the emulator's."""
    measure.progress("making a CA bundle")
    for name in [name for name in os.environ if name.startswith(("AWS_", "PG"))]:
        del os.environ[name]
    os.environ |= rds.environ | {"XDG_CACHE_HOME": str(directory / "cache")}
    one = str(rds.url.query["rds_iam_ca"])
    bundle = directory / "bundle.pem"
    bundle.write_bytes(ca_bundle() + Path(one).read_bytes())
    return {"bundle": str(bundle), "one CA": one}


def _measured(
    driver: str, rds: emulated.Emulator, files: dict[str, str], rounds: int
) -> list[dict[str, Any]]:
    url = rds.url.set(drivername=f"postgresql+{driver}")
    with ExitStack() as undo:
        cases: dict[str, Callable[[], Sample]] = {}
        for name, file in files.items():
            for way, build in WAYS.items():
                engine = build(url, file)
                undo.callback(engine.dispose)
                # The first connect brings what only the first one costs: imports, the dialect.
                _connect(engine)
                cases[f"{way}, {name}"] = partial(_connect, engine)
        _check_narrowed()
        # There and back: sessions that are still ending burden the client that connects next.
        turns = cases | {f"{case} {AGAIN}": cases[case] for case in reversed(cases)}
        samples = measure.interleave(turns, rounds, label=driver)
    return [_row(driver, way, name, samples) for name in files for way in WAYS]


def _plugin(url: URL, file: str) -> Engine:
    return create_engine(url.update_query_dict({"rds_iam_ca": file}), poolclass=NullPool)


def _static(url: URL, file: str) -> Engine:
    """An engine without the plugin, that goes to the same place by the same address."""
    signed = str(url.query["rds_iam_host"])
    endpoint = Endpoint(
        signed, int(str(url.query["rds_iam_port"])), "app", str(parse_host(signed).region)
    )
    key = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    plain = url.set(host=signed, query={}, password=sign(key, endpoint, time.time()).password)
    return create_engine(
        plain,
        poolclass=NullPool,
        connect_args={"hostaddr": url.host, "sslmode": "verify-full", "sslrootcert": file},
    )


def _connect(engine: Engine) -> Sample:
    """One new connection, which is closed again outside of the measured time."""
    wall, cpu = time.perf_counter(), time.process_time()
    connection = engine.raw_connection()
    sample = Sample(time.perf_counter() - wall, time.process_time() - cpu)
    connection.close()
    return sample


WAYS = {"static": _static, "plugin": _plugin}


def _check_narrowed() -> None:
    made = list(Path(os.environ["XDG_CACHE_HOME"]).glob("*/*.pem"))
    if not made:
        raise measure.NoResult(
            "the plugin made no CA file for the region, so there is nothing to compare: is the "
            "directory for temporary files writable by others?"
        )


def _row(driver: str, way: str, name: str, samples: dict[str, list[Sample]]) -> dict[str, Any]:
    wall = {each: _median(samples, f"{each}, {name}").wall for each in WAYS}
    return {
        "driver": driver,
        "way": way,
        "ca_file": name,
        "connect_ms": wall[way] * 1e3,
        "client_cpu_ms": _median(samples, f"{way}, {name}").cpu * 1e3,
        "connects_per_second": 1 / wall[way],
        "ratio": wall["static"] / wall["plugin"] if way == "plugin" else None,
        "target": TARGETS[name] if way == "plugin" else None,
    }


def _median(samples: dict[str, list[Sample]], case: str) -> Sample:
    """Of both turns that a case has in every round."""
    walls, cpus = zip(*samples[case], *samples[f"{case} {AGAIN}"], strict=True)
    return Sample(statistics.median(walls), statistics.median(cpus))


def _chart(rows: list[dict[str, Any]]) -> str:
    groups: dict[str, dict[str, float]] = {}
    for row in rows:
        name = f"{row['driver']}, {row['ca_file']}"
        groups.setdefault(name, {})[row["way"]] = row["connect_ms"]
    return charts.bars("A whole new connection, verify-full", charts.Axis("milliseconds"), groups)


def _text(results: dict[str, Any], missed: list[dict[str, Any]]) -> str:
    verdict = "kept"
    if missed:
        verdict = "MISSED by " + ", ".join(
            f"{row['driver']} with {row['ca_file']} {row['ratio']:.2f}, target {row['target']}"
            for row in missed
        )
    targets = ", ".join(f"{least:g} with {name}" for name, least in TARGETS.items())
    return "\n".join(
        (
            "Whole new connections to the emulator, verify-full; medians of interleaved rounds.",
            f"The emulator's own maximum: {results['emulator_maximum']:.0f} logins a second.",
            "",
            measure.table(
                (
                    *("driver", "CA file", "way", "connect ms", "client CPU ms", "connects/s"),
                    *("times as fast", "target"),
                ),
                [
                    (
                        *(row["driver"], row["ca_file"], row["way"]),
                        *(f"{row['connect_ms']:.2f}", f"{row['client_cpu_ms']:.2f}"),
                        f"{row['connects_per_second']:.0f}",
                        *(f"{row[n]:.2f}" if row[n] else "" for n in ("ratio", "target")),
                    )
                    for row in results["results"]
                ],
            ),
            "",
            f"So many times as fast as a static password, {targets}: {verdict}.",
        )
    )


if __name__ == "__main__":
    measure.run(main)
