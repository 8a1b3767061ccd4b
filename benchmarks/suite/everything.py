"""Run the benchmarks, one after the other; save results and charts, and refresh the documents.

  python -m benchmarks.suite.everything                  the core, in 15 minutes: make bench
  python -m benchmarks.suite.everything --all            peers, network, failovers and the
                                                         simulation as well, in an hour:
                                                         make bench-all
  python -m benchmarks.suite.everything --only storm     this one alone, or several
  python -m benchmarks.suite.everything --quick          the same with small numbers, in two minutes
                                                         to see that it works; saved nowhere
  python -m benchmarks.suite.everything --redraw         measure nothing: make tables, charts and
                                                         documents again of what was saved

Each benchmark runs in a process of its own, and saves what it has found when it ends: what a run
has finished is kept if it is interrupted, and --only runs what is missing. Before each it is told
how long it will take, by how long it took when it was saved last. All of it is on standard error,
and results on standard output, as Markdown, or with --json as one JSON object.

The times are those of two processors that have nothing else to do. What else they do is in the
results: the emulator's own maximum, told with each, shows it.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.lib import documents, measure

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENTS = [DOCS / name for name in ("benchmarks.md", "rate-limits.md")]

CORE = {
    "connect_cost": "--rounds 30",
    "cold_start": "",
    "storm": "",
    "fleet": "",
    "rollover": "",
    "loop_stall": "--rounds 2",
    "listener": "",
    "scale": "",
    "connect_rate": "--rounds 1",
}
"""The benchmarks, and what is asked of them for the sake of time."""

LONG = {"peers": "", "network": "", "simulation": "--rounds 2", "failover": ""}
"""Those that take long, or what pip has to bring, and run only if asked for.

The simulation comes after the fleet that it is held against.
"""

QUICK = {
    "listener": "--rounds 5 --driver psycopg --driver pymysql",
    "cold_start": "--rounds 1 --place ECS --way plugin --way 'plugin async' --way botocore",
    "scale": "--rounds 1 --endpoints 1 --endpoints 5",
    "connect_cost": "--rounds 2 --driver psycopg --driver pymysql",
    "connect_rate": "--rounds 1 --seconds 0.3 --concurrency 2 --driver psycopg",
    "storm": "--connects 5 --ceiling 20 --driver psycopg --driver pymysql --way plugin",
    "rollover": "--due 1.5 --latency 0.2 --driver asyncpg --way plugin --workers 2",
    "fleet": "--processes 2 --seconds 1 --way 'shared store' --way 'congestion control'",
    "simulation": "--rounds 1 --processes 10 --strategy 'congestion control'",
    "loop_stall": "--rounds 1 --latency 0.2 --driver asyncpg --way plugin-botocore --machine idle",
    "network": "--rounds 1 --driver pg8000 --driver pymysql",
    "failover": "--quick",
    # Without environments of peers, which are installed from a package index.
    "peers": "--here --rounds 2 --driver psycopg --part cost",
}
"""The same for those in a hurry."""

NAMES = (
    *("peers", "connect_cost", "network", "cold_start", "storm", "fleet", "failover", "rollover"),
    *("loop_stall", "listener", "simulation", "scale", "connect_rate"),
)
"""In the order of the summary, the most telling ones first."""

LONGEST = 900.0
LONGEST_OF_LONG = 2700.0


def main() -> int:
    """Run them, and sum up."""
    command = _command()
    given = command.parse_args()
    save = given.save or (None if given.quick else measure.RESULTS)
    if given.redraw:
        documents.redraw(save or measure.RESULTS, NAMES)
        _refresh(save)
        return measure.TARGETS_MET
    asked = QUICK if given.quick else CORE | LONG
    group = QUICK if given.quick else CORE | LONG if given.all else CORE
    wanted = [name for name in asked if name in (given.only or group)]
    done: dict[str, int] = {}
    outputs: list[dict[str, Any]] = []
    try:
        for number, name in enumerate(wanted):
            foretell(wanted, number, None if given.quick else save)
            code, output = _run(name, shlex.split(asked[name]), save, as_json=given.json)
            done[name] = code
            if output:
                outputs.append(json.loads(output))
    except KeyboardInterrupt:
        kept = f"what was finished is kept: {', '.join(done) or 'nothing'}"
        left = " ".join(f"--only {name}" for name in wanted if name not in done)
        measure.progress(f"\ninterrupted; {kept}. The rest: {left}")
    finally:
        _refresh(save)
    if given.json:
        print(json.dumps({"benchmarks": outputs}, indent=2))
    else:
        names = {measure.TARGETS_MET: "all targets met", measure.TARGET_MISSED: "a target MISSED"}
        rows = [(name, names.get(code, "NO RESULT")) for name, code in done.items()]
        print(f"\n{measure.table(('benchmark', 'verdict'), rows)}")
    if len(done) < len(wanted) or set(done.values()) - {0, 1}:
        return measure.NO_RESULT
    return max(done.values(), default=measure.NO_RESULT)


def _command() -> argparse.ArgumentParser:
    command = argparse.ArgumentParser(
        description=str(__doc__),
        epilog=measure.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--only", action="append", choices=NAMES, help="repeatable")
    command.add_argument("--all", action="store_true", help=f"{', '.join(LONG)} as well")
    command.add_argument("--quick", action="store_true", help="with small numbers")
    command.add_argument("--redraw", action="store_true", help="measure nothing")
    command.add_argument("--json", action="store_true", help="all results on standard output")
    command.add_argument(
        "--save",
        type=Path,
        metavar="DIRECTORY",
        help="default: benchmarks/results; the documents show what is there",
    )
    return command


def _refresh(save: Path | None) -> None:
    if save == measure.RESULTS:
        for document in DOCUMENTS:
            documents.refresh(document, save, NAMES)


def foretell(wanted: Sequence[str], number: int, save: Path | None) -> None:
    """Say what comes next, and when it and the rest will have ended, as far as that is known."""
    saved = documents.load(measure.RESULTS, wanted) if save else {}
    left = [saved.get(name, {}).get("facts", {}).get("seconds") for name in wanted[number:]]
    said = f"\n{wanted[number]}, {number + 1} of {len(wanted)}"
    if left[0]:
        said += f", about {left[0]} s"
    if all(left):
        end = datetime.now().astimezone() + timedelta(seconds=sum(left))
        said += f"; all of it until about {end:%H:%M}"
    measure.progress(said)


def _run(name: str, arguments: list[str], save: Path | None, *, as_json: bool) -> tuple[int, str]:
    """Run one of them; its exit code and, as JSON, what it has said."""
    sys.stdout.flush()
    saving = [] if save is None else ["--save", str(save)]
    wanted = ["--json"] if as_json else []
    command = [sys.executable, "-m", f"benchmarks.suite.{name}", *arguments, *saving, *wanted]
    longest = LONGEST_OF_LONG if name in LONG else LONGEST
    began = time.monotonic()
    try:
        done = subprocess.run(
            command,
            check=False,
            timeout=longest,
            stdout=subprocess.PIPE if as_json else None,
            text=True,
        )
    except subprocess.TimeoutExpired:
        measure.progress(f"{name}: no end after {longest:g} s")
        return measure.NO_RESULT, ""
    measure.progress(f"{name} took {time.monotonic() - began:.0f} s")
    return done.returncode, done.stdout or ""


if __name__ == "__main__":
    measure.run(main)
