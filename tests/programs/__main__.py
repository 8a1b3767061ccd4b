"""Programs of others, each with ?plugin=rds_iam in its database URL.

Each is installed at its newest release into an environment of its own, set up by its own
documented configuration, and does its main job against the emulator, with AWS credentials that live
30 seconds. When those with which it began have expired, all sessions are killed, and it works
again. Every login has to be one with a valid token over TLS.

A program that has passed with the same job, package and versions is not run again. Results are in
tests/programs/results, and docs/programs.md shows them.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict

from benchmarks.lib import measure
from programs import page, results
from programs.display import Display
from programs.environments import InstallError, alone, build_wheel
from programs.execution import Execution, JobFailed
from programs.metadata import BadJob, Program, programs
from programs.turns import Turn

_UNKNOWN_SECONDS, _UNKNOWN_MEGABYTES = 30.0, 300
"""Of a program that has never passed, for the estimate."""


def main() -> int:
    """Run those that were asked for, and say what has become of them."""
    given = _arguments()
    try:
        wanted = _chosen(programs(), given.names)
    except BadJob as error:
        raise measure.NoResult(str(error)) from error
    if given.list:
        sys.stdout.write(_listed(wanted) + "\n")
        return measure.TARGETS_MET
    if given.redraw:
        page.draw()
        return measure.TARGETS_MET
    try:
        with alone(keep=given.keep):
            failed = _run(wanted, given)
    except InstallError as error:
        raise measure.NoResult(str(error)) from error
    page.draw()
    if given.json:
        found = {each.name: results.read(each.name) for each in wanted}
        document = {
            name: {"failed": failed.get(name), "result": result and asdict(result)}
            for name, result in found.items()
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    return measure.TARGET_MISSED if failed else measure.TARGETS_MET


def _run(wanted: list[Program], given: argparse.Namespace) -> dict[str, str]:
    """Run them; what failed, and why."""
    failed: dict[str, str] = {}
    start = time.monotonic()
    turn, installing, stop = Turn(), threading.Lock(), threading.Event()
    with Display(max(len(each.name) for each in wanted)) as display:
        display.say(_announced(wanted))
        wheel = build_wheel()

        def execution(program: Program) -> Execution:
            def tell(activity: str) -> None:
                display.tell(program.name, activity)

            return Execution(program, wheel, turn, installing, stop, tell, given.again, given.keep)

        # The longest first, so that the last ones do not wait for each other.
        order = sorted(wanted, key=_seconds, reverse=True)
        with ThreadPoolExecutor(given.waiting + 1) as pool, _stopping(pool, stop):
            running = {pool.submit(execution(each).run): each.name for each in order}
            for each in as_completed(running):
                name = running[each]
                try:
                    result = each.result()
                except (JobFailed, InstallError, OSError, RuntimeError) as error:
                    failed[name] = str(error)
                    display.end(name, "FAILED")
                    display.say(str(error))
                else:
                    display.end(name, _outcome(result))
        minutes = (time.monotonic() - start) / 60
        passed = len(wanted) - len(failed)
        display.say(f"{passed} of {len(wanted)} passed in {minutes:.1f} minutes")
        for name, why in sorted(failed.items()):
            display.say(f"failed: {name}: {why.partition(chr(10))[0]}")
    return failed


@contextmanager
def _stopping(pool: ThreadPoolExecutor, stop: threading.Event) -> Iterator[None]:
    """End what runs when this process is told to end: jobs do not hear the terminal's signals."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    try:
        yield
    except BaseException:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def _outcome(result: results.Result | None) -> str:
    if result is None:
        return "passed before, with the same job, package and versions"
    logins = result.logins
    return (
        f"passed: {result.seconds:.0f} s of work, {logins['before']} logins before the rollover, "
        f"{logins['after']} after it"
    )


def _seconds(program: Program) -> float:
    result = results.read(program.name)
    return _UNKNOWN_SECONDS if result is None else result.seconds


def _megabytes(program: Program) -> int:
    result = results.read(program.name)
    return _UNKNOWN_MEGABYTES if result is None else result.megabytes


def _announced(wanted: list[Program]) -> str:
    size, largest = sum(map(_megabytes, wanted)), max(map(_megabytes, wanted))
    return (
        f"Programs: {len(wanted)}. Their environments have {size} MB, the largest {largest}, and "
        "are removed afterwards; uv's cache keeps what was downloaded. When they passed last, they "
        f"worked {sum(map(_seconds, wanted)) / 60:.0f} minutes, installing not counted."
    )


def _listed(wanted: list[Program]) -> str:
    head = ("program", "what it does", "seconds", "MB", "last passed")
    rows = []
    for each in wanted:
        result = results.read(each.name)
        last = ("", "", "") if result is None else _cells(result)
        rows.append((each.name, each.about, *last))
    return measure.table(head, rows)


def _cells(result: results.Result) -> tuple[str, str, str]:
    return f"{result.seconds:.0f}", str(result.megabytes), result.date


def _chosen(known: list[Program], names: list[str]) -> list[Program]:
    wanted = {part for name in names for part in name.replace(",", " ").split()}
    unknown = wanted - {each.name for each in known}
    if unknown:
        raise measure.NoResult(
            f"there is no program {', '.join(sorted(unknown))}: "
            f"expected some of {', '.join(each.name for each in known)}"
        )
    return [each for each in known if each.name in wanted or not wanted]


def _arguments() -> argparse.Namespace:
    command = argparse.ArgumentParser(
        prog="make programs",
        usage="[PROGRAMS=NAME,NAME] make programs [PROGRAMS_FLAGS='--again --keep']",
        description=__doc__,
        epilog=(
            "examples:\n"
            "  make programs                           all that have changed\n"
            "  PROGRAMS=airflow,optuna make programs   these two\n"
            "  PROGRAMS=airflow make programs PROGRAMS_FLAGS='--again --keep'\n"
            "                                          once more; look at .programs/work/airflow\n"
            "\n"
            "Exit codes: 0 all passed, 1 some failed, 2 wrong usage or no result."
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("names", nargs="*", metavar="NAME", help="those to run; default all")
    command.add_argument("--again", action="store_true", help="run those that have passed, too")
    command.add_argument(
        "--keep", action="store_true", help="leave environments and logs in .programs"
    )
    command.add_argument("--list", action="store_true", help="what there is, and exit")
    command.add_argument("--json", action="store_true", help="print the results as JSON")
    command.add_argument(
        "--redraw", action="store_true", help="write docs/programs.md from the results, and exit"
    )
    command.add_argument(
        "--waiting",
        type=measure.positive_integer,
        default=3,
        metavar="N",
        help="programs that may wait while another works; each has its servers running, "
        "and takes memory; default: %(default)s",
    )
    return command.parse_args()


if __name__ == "__main__":
    measure.run(main)
