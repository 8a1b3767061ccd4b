"""Run every benchmark, one after the other; save results and charts, and refresh the documents.

All but the failovers, which --only failover runs in twenty minutes, take less than ten minutes on
two processors that have nothing else to do. What else they do is in the results: the emulator's own
maximum, told with each, shows it.

--quick runs the same with small numbers, to see in two minutes that all of it works; what it finds
means little, and is saved only where --save says so.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.lib import documents, measure

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENTS = [DOCS / name for name in ("benchmarks.md", "rate-limits.md")]

# The simulation comes after the fleet that it is held against.
FULL = {
    "listener": "",
    "cold_start": "",
    "scale": "",
    "connect_cost": "--rounds 60",
    "connect_rate": "--rounds 1",
    "storm": "",
    "rollover": "",
    "fleet": "",
    "simulation": "--rounds 2",
    "loop_stall": "--rounds 1",
}
"""The benchmarks, and what is asked of them for the sake of time."""

LONG = {"network": "", "peers": "", "failover": ""}
"""Those that take minutes of waiting, or twenty minutes, and run only if asked for."""

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
    "peers": "--rounds 2 --driver psycopg --part cost --way 'ready token' --way rds_iam",
}
"""The same for those in a hurry."""

VERDICTS = {measure.TARGETS_MET: "all targets met", measure.TARGET_MISSED: "a target MISSED"}
LONGEST = 600.0
LONGEST_OF_LONG = 2700.0


def main() -> int:
    """Run them, and sum up."""
    command = argparse.ArgumentParser(
        description=str(__doc__),
        epilog=measure.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--only", action="append", choices=QUICK, help="repeatable; default all")
    command.add_argument("--quick", action="store_true", help="with small numbers")
    command.add_argument(
        "--save",
        type=Path,
        metavar="DIRECTORY",
        help="default: benchmarks/results; the documents show what is there",
    )
    given = command.parse_args()
    save = given.save or (None if given.quick else measure.RESULTS)
    asked = QUICK if given.quick else FULL | LONG
    wanted = [name for name in asked if name in (given.only or (QUICK if given.quick else FULL))]
    started = time.monotonic()
    rows, codes = [], []
    for number, name in enumerate(wanted, 1):
        began = time.monotonic()
        measure.progress(f"\n{name}, {number} of {len(wanted)}, after {began - started:.0f} s")
        code = _run(name, shlex.split(asked[name]), save)
        codes.append(code)
        seconds = time.monotonic() - began
        rows.append((name, f"{seconds:.0f}", VERDICTS.get(code, "NO RESULT")))
    rows.append(("all", f"{time.monotonic() - started:.0f}", ""))
    summary = measure.table(("benchmark", "seconds", "verdict"), rows)
    print(f"\n{summary}")
    if save is not None and not given.only:
        (save / "everything.md").write_text(summary + "\n", encoding="utf-8")
    if save == measure.RESULTS:
        for document in DOCUMENTS:
            documents.refresh(document, save)
    if set(codes) <= set(VERDICTS):
        return max(codes)
    return measure.NO_RESULT


def _run(name: str, arguments: list[str], save: Path | None) -> int:
    """Run one of them, and return its exit code."""
    sys.stdout.flush()
    saving = [] if save is None else ["--save", str(save)]
    command = [sys.executable, "-m", f"benchmarks.suite.{name}", *arguments, *saving]
    longest = LONGEST_OF_LONG if name in LONG else LONGEST
    try:
        return subprocess.run(command, check=False, timeout=longest).returncode
    except subprocess.TimeoutExpired:
        measure.progress(f"{name}: no end after {longest:g} s")
        return measure.NO_RESULT


if __name__ == "__main__":
    measure.run(main)
