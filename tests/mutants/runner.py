"""Run the tests of a room on one mutant after the other.

One process has imported all libraries, and forks for each mutant: what is left to import is the
package and its tests. Each of the processes that run at the same time has a copy of the checkout,
in which it finds the changed file.
"""

from __future__ import annotations

import compileall
import contextlib
import gc
import importlib
import json
import os
import py_compile
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

from mutants import child
from mutants.mutations import Mutant
from mutants.rooms import ROOT, Room

Verdict = Literal["killed", "timed out", "survived", "not imported"]

_COPIED = ("sqlalchemy_rds_iam", "tests", "benchmarks", "docs", "pyproject.toml", "README.md")
_POLL = 0.02


class Result(NamedTuple):
    """What has become of a mutant. One that is not imported does not count."""

    mutant: Mutant
    verdict: Verdict


class _Run(NamedTuple):
    mutant: Mutant
    copy: Path
    deadline: float


class Runner:
    """The tests of a room, on the unchanged code first.

    Args:
        room: whose tests.
        directory: where copies of the checkout are made.
        jobs: how many mutants are run at the same time.

    Raises:
        SystemExit: the tests fail already.
    """

    def __init__(self, room: Room, directory: Path, jobs: int) -> None:
        self._room = room
        self._copies = [directory / str(number) for number in range(jobs)]
        self._durations: dict[str, float] = {}
        self._cpu, self._wall = 600, 600.0
        self._measure(self._copies[0])

    def _measure(self, copy: Path) -> None:
        for name in _COPIED:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, copy / name, ignore=ignored)
            else:
                shutil.copy2(ROOT / name, copy / name)
        # A changed file may be of the same size and second as the unchanged one.
        mode = py_compile.PycInvalidationMode.CHECKED_HASH
        compileall.compile_dir(copy / "sqlalchemy_rds_iam", quiet=1, invalidation_mode=mode)
        began = time.monotonic()
        pid = self._fork(copy, "sqlalchemy_rds_iam")
        try:
            _, status, used = os.wait4(pid, 0)
        except BaseException:
            _kill(pid)
            raise
        if os.waitstatus_to_exitcode(status) != child.PASSED:
            raise SystemExit(f"{(copy / 'output').read_text()}\nthe tests fail without a mutant")
        self._wall = max(30.0, 6 * (time.monotonic() - began))
        self._cpu = int(10 + 4 * (used.ru_utime + used.ru_stime))
        found = json.loads((copy / "baseline.json").read_text())
        self._durations = found["took"]
        for other in self._copies[1:]:
            shutil.copytree(copy, other)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name in found["modules"]:
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
        sys.dont_write_bytecode = True
        gc.freeze()  # or each process would look through all of that for garbage

    def run(self, mutants: Iterator[Mutant], count: int) -> Iterator[Result]:
        """Run mutants until so many have been imported, or all have been run."""
        runs: dict[int, _Run] = {}
        try:
            yield from self._run(mutants, count, runs)
        finally:
            for pid in runs:
                _kill(pid)

    def _run(
        self, mutants: Iterator[Mutant], count: int, runs: dict[int, _Run]
    ) -> Iterator[Result]:
        free = list(self._copies)
        while True:
            for mutant in islice(mutants, min(len(free), max(count - len(runs), 0))):
                copy = free.pop()
                (copy / mutant.file).write_text(mutant.source, "utf-8")
                module = mutant.file.removesuffix(".py").replace("/", ".")
                runs[self._fork(copy, module)] = _Run(mutant, copy, time.monotonic() + self._wall)
            if not runs:
                return
            pid, verdict = _next(runs)
            run = runs.pop(pid)
            shutil.copy2(ROOT / run.mutant.file, run.copy / run.mutant.file)
            free.append(run.copy)
            count -= verdict != "not imported"
            yield Result(run.mutant, verdict)

    def _fork(self, copy: Path, module: str) -> int:
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            child.run(copy, self._room, module, self._durations, self._cpu)
        return pid


def _next(runs: dict[int, _Run]) -> tuple[int, Verdict]:
    """Wait for one of the processes to end, or for its deadline."""
    while True:
        for pid, run in runs.items():
            ended, status = os.waitpid(pid, os.WNOHANG)
            late = not ended and time.monotonic() > run.deadline
            if late:
                _kill(pid)
                os.waitpid(pid, 0)
            elif ended:
                _kill(pid)  # what it may have started itself
            if late or ended:
                return pid, "timed out" if late else _verdict(os.waitstatus_to_exitcode(status))
        time.sleep(_POLL)


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _verdict(code: int) -> Verdict:
    if code == child.PASSED:
        return "survived"
    if code == child.NOT_IMPORTED:
        return "not imported"
    return "timed out" if code in {-signal.SIGXCPU, -signal.SIGKILL} else "killed"
