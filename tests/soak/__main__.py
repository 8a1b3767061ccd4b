"""Client processes under steady load, faults every few seconds, every connect judged.

A failed connect is excused by a fault that can cause that very failure at that very time, and lost
otherwise. Everything runs on loopback and ends by itself.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from benchmarks.lib import measure
from soak import report, verdict
from soak.account import Account
from soak.actors import Actor
from soak.cast import CAST
from soak.evidence import Evidence
from soak.failovers import Failovers
from soak.faults import Schedule
from soak.judge import failure
from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.background import Background

RESULTS = measure.RESULTS / "soak.json"

_START_DEADLINE = 60.0
_QUIET_END = 10.0
_TICK = 0.05
_PROGRESS = 10.0


def main() -> int:
    """Run, report, and say whether all went well."""
    given = _arguments()
    random.seed(given.seed)
    signal.signal(signal.SIGTERM, _terminated)
    with ExitStack() as stage, tempfile.TemporaryDirectory(prefix="rds-iam-soak-") as directory:
        rds = stage.enter_context(RdsEmulator())
        actors = stage.enter_context(_cast(rds, Path(directory)))
        evidence = {
            actor.role.name: Evidence(actor.role.name, Path(directory, actor.role.name))
            for actor in actors
        }
        failovers = stage.enter_context(Failovers(given.failover_gap))
        schedule = Schedule(rds, actors, (given.gap / 2, given.gap * 1.5))
        start = time.time()
        try:
            _play(schedule, actors, evidence, start + given.seconds)
        finally:
            schedule.end()
        for actor in actors:
            actor.order("stop")
        for actor in actors:
            actor.wait()
        for each in evidence.values():
            each.read()
        span = start, time.time()
        found = verdict.reach(rds, actors, evidence, schedule.faults, span)
        found.add_failovers(failovers)
        seconds = span[1] - span[0]
        result = report.document(found, seconds, given.seed, schedule.faults, start)
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        sys.stdout.write(report.text(found, seconds, given.seed) + "\n")
        if given.keep:
            for name, each in evidence.items():
                sys.stdout.write(f"--- {name}\n{each.errors_shown}\n")
    return measure.TARGETS_MET if found.good else measure.TARGET_MISSED


@contextmanager
def _cast(rds: RdsEmulator, directory: Path) -> Iterator[list[Actor]]:
    """The client processes with their AWS, running; none is left behind."""
    background = Background("soak-aws", _START_DEADLINE)
    with ExitStack() as undo:
        undo.callback(background.stop)
        actors = []
        for role in CAST:
            account = Account(rds, role.name, role.provider, role.lives)
            account.service.latency = role.latency
            background.call(account.start())
            undo.callback(_stop, background, account)
            actor = Actor(role, account)
            undo.callback(actor.end)
            actor.start(rds, directory)
            actors.append(actor)
        yield actors


def _stop(background: Background, account: Account) -> None:
    background.call(account.stop())


def _play(
    schedule: Schedule, actors: Sequence[Actor], evidence: dict[str, Evidence], end: float
) -> None:
    told = time.time()
    while (now := time.time()) < end:
        # The last seconds are quiet, so that every fault can be recovered from.
        schedule.tick(more=now < end - _QUIET_END)
        for actor in actors:
            actor.account.vary()
            if actor.dead:
                raise measure.NoResult(
                    f"{actor.role.name} has died: {evidence[actor.role.name].errors_shown}"
                )
        if now - told >= _PROGRESS:
            told = now
            _tell(schedule, evidence, end - now)
        time.sleep(_TICK)


def _tell(schedule: Schedule, evidence: dict[str, Evidence], left: float) -> None:
    for each in evidence.values():
        each.read()
    connects = [connect for each in evidence.values() for connect in each.connects]
    failed = [connect for connect in connects if connect.error is not None]
    kinds: dict[str, int] = {}
    for connect in failed:
        kinds[failure(connect)] = kinds.get(failure(connect), 0) + 1
    measure.progress(
        f"{left:5.0f} s to go: {len(connects)} connects, {len(failed)} failed {kinds or ''}, "
        f"{len(schedule.faults)} faults, now {', '.join(schedule.active) or 'none'}"
    )


def _arguments() -> argparse.Namespace:
    command = argparse.ArgumentParser(
        prog="soak",
        description=__doc__,
        epilog="Exit codes: 0 nothing lost, 1 something lost or broken, 2 wrong usage or no "
        "result.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--seconds", type=measure.positive_integer, default=1200, help="default: %(default)s"
    )
    command.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the faults")
    command.add_argument(
        "--gap", type=float, default=2.5, help="mean seconds between two faults; %(default)s"
    )
    command.add_argument(
        "--failover-gap",
        type=measure.positive_number,
        default=20.0,
        help="mean seconds between two failovers of the cluster; %(default)s",
    )
    command.add_argument("--json", type=Path, default=RESULTS, help="file for the results")
    command.add_argument("--keep", action="store_true", help="print what the clients complained of")
    return command.parse_args()


def _terminated(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    measure.run(main)
