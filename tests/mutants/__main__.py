"""Mutation testing of the core: ``python -m mutants``, or ``make mutants``."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mutants.judged import Report, judge
from mutants.mutations import Mutant, sample
from mutants.rooms import ROOMS, Room
from mutants.runner import Result, Runner

ENOUGH = 90.0
"""The percentage of mutants that the tests of each room have to kill."""

_ROW = "{:10}{:>9}{:>9}{:>11}{:>10}{:>12}{:>9}"


def main() -> int:
    """Run, report, and say whether every room is good enough."""
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    reports = [
        _report(ROOMS[name], given.mutants or sys.maxsize, given.seed, given.jobs)
        for name in given.room or ROOMS
    ]
    for report in reports:
        for mutant in report.survivors:
            _say(f"survived: {_shown(mutant)}")
        for mutant in report.equivalent:
            _say(f"equivalent: {_shown(mutant)}\n    {report.listed[mutant.key]}")
        for error in report.errors:
            _say(f"error: {error}")
    _say(_ROW.format("", "mutants", "killed", "timed out", "survived", "equivalent", "score"))
    for report in reports:
        killed, late = report.count("killed"), report.count("timed out")
        counts = (len(report.results), killed, late, len(report.survivors), len(report.equivalent))
        _say(_ROW.format(report.room, *counts, f"{report.score:.1f} %"))
    if given.json:
        given.json.write_text(json.dumps([_plain(report) for report in reports], indent=1) + "\n")
    return int(any(report.errors or report.score < ENOUGH for report in reports))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("--room", action="append", choices=ROOMS, help="one of the rooms only")
    parser.add_argument("--mutants", type=int, default=300, help="of each room; 0 means all")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="run at a time")
    parser.add_argument("--json", type=Path, help="a file for the results")
    return parser.parse_args()


def _report(room: Room, count: int, seed: int, jobs: int) -> Report:
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        runner = Runner(room, Path(directory), jobs)
        return judge(room, _progress(room, runner.run(sample(room, seed), count)))


def _progress(room: Room, results: Iterator[Result]) -> Iterator[Result]:
    began, ran = time.monotonic(), 0
    for ran, result in enumerate(results, 1):
        if result.verdict in {"survived", "timed out"}:
            _say(f"{room.name}: {result.verdict}: {_shown(result.mutant)}")
        if ran % 25 == 0:
            _say(f"{room.name}: {ran} run, {time.monotonic() - began:.0f} s")
        yield result


def _shown(mutant: Mutant) -> str:
    lines = [f"{mutant.file}:{mutant.line} {mutant.where} ({mutant.operator})"]
    lines += [f"    - {line}" for line in mutant.before.splitlines()]
    lines += [f"    + {line}" for line in mutant.after.splitlines()]
    return "\n".join(lines)


def _plain(report: Report) -> dict[str, object]:
    return {
        "room": report.room,
        "score": report.score,
        "errors": report.errors,
        "mutants": [
            {key: value for key, value in mutant._asdict().items() if key != "source"}
            | {"verdict": verdict, "equivalent": report.listed.get(mutant.key)}
            for mutant, verdict in report.results
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
