"""SQLAlchemy's own dialect suite on the emulator's MariaDB, with the plugin and without it.

Each driver runs the whole suite twice, as the same user, through the same gateway and over TLS that
verifies as much: once with ?plugin=rds_iam, and once without it, where the password is a token that
was signed beforehand. Every test has to have the same outcome in both, and none may fail.
"""

from __future__ import annotations

import argparse
import sys
import time

from sqlalchemy import URL

from benchmarks.lib import facts, measure
from dialect.outcomes import Run, differences, run
from sqlalchemy_rds_iam._aws.sigv4 import Credentials, sign
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam.testing import RdsEmulator

DRIVERS = ("pymysql", "asyncmy")
USER = "app"
DATABASE, *BESIDE = "suite", "test_schema", "test_schema_2"
"""The database, and those that the suite expects beside it."""

_SHOWN = 25


def main() -> int:
    """Run, compare, and say whether the outcomes are the same."""
    command = argparse.ArgumentParser(
        prog="dialect",
        description=__doc__,
        epilog="Exit codes: 0 the same outcomes, and none failed; 1 others; 2 wrong usage or no "
        "result.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--driver", action="append", choices=DRIVERS, help="repeatable; default all"
    )
    given = command.parse_args()
    rows: list[tuple[str, ...]] = []
    found: list[str] = []
    with RdsEmulator(engine="mysql") as rds:
        for name in (DATABASE, *BESIDE):
            rds.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        rds.execute(f"GRANT ALL ON *.* TO '{USER}'@'%'")
        for driver in given.driver or DRIVERS:
            runs = {}
            for way, build in (("without", _without), ("plugin", _plugin)):
                measure.progress(f"{driver} {way}")
                runs[way] = run(build(rds, f"mariadb+{driver}"), rds.environ())
                rows.append(_row(driver, way, runs[way]))
            found += [f"{driver}: {each}" for each in differences(*runs.values())]
    head = ("driver", "way", "passed", "skipped", "failed", "seconds")
    verdict = "\n".join(found[:_SHOWN]) or "Every test has the same outcome, and none failed."
    table = measure.table(head, rows)
    sys.stdout.write(f"{facts.said(facts.found())}\n\n{table}\n\n{verdict}\n")
    return measure.TARGET_MISSED if found else measure.TARGETS_MET


def _plugin(rds: RdsEmulator, drivername: str) -> URL:
    return rds.url(drivername, USER, DATABASE)


def _without(rds: RdsEmulator, drivername: str) -> URL:
    signed = Endpoint(rds.endpoint.host, rds.endpoint.port, USER, rds.endpoint.region)
    key = Credentials(rds.key.access_key, rds.key.secret_key)
    token = sign(key, signed, time.time()).password
    url = _plugin(rds, drivername)
    return url.set(password=token, query={"ssl_ca": str(url.query["rds_iam_ca"])})


def _row(driver: str, way: str, found: Run) -> tuple[str, ...]:
    counts = found.counts
    failed = counts["failure"] + counts["error"]
    numbers = (counts["passed"], counts["skipped"], failed)
    return (driver, way, *map(str, numbers), f"{found.seconds:.0f}")


if __name__ == "__main__":
    measure.run(main)
