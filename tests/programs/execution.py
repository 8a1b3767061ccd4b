"""One program, from its environment to its result."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet

from programs import environments, processes, results
from programs.control import served
from programs.emulated import Account, account
from programs.environments import STATE
from programs.metadata import JOBS, Program
from programs.results import Result
from programs.turns import Turn

_TICK = 0.1
_LAST_WORDS = 20.0
"""Seconds for a job that is late to stop its servers."""

_SHOWN = 6000

_KEPT = ("LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")

_DISTRIBUTIONS = {
    "psycopg": ("psycopg",),
    "psycopg2": ("psycopg2-binary", "psycopg2"),
    "asyncpg": ("asyncpg",),
    "pg8000": ("pg8000",),
    "pymysql": ("pymysql",),
    "asyncmy": ("asyncmy",),
    "aiomysql": ("aiomysql",),
}


class JobFailed(Exception):  # noqa: N818 - it is what became of it
    """The job has not passed; the text says why, with its log."""


@dataclass
class Execution:
    """One program in the course of its run.

    Attributes:
        program: Which.
        wheel: The project.
        turn: Whose turn it is to work.
        installing: Held while an environment is made: one at a time.
        stop: Set where all programs are to end.
        tell: Called with what the program is doing now.
        again: Whether it runs though its last result holds.
        keep: Whether environment and working directory stay.
    """

    program: Program
    wheel: Path
    turn: Turn
    installing: threading.Lock
    stop: threading.Event
    tell: Callable[[str], None]
    again: bool = False
    keep: bool = False

    def run(self) -> Result | None:
        """Run it; None if its last result holds.

        Raises:
            InstallError: There is no environment for it.
            JobFailed: It has not passed.
        """
        program = self.program
        python = platform.python_version()
        if not SpecifierSet(program.requires_python).contains(python):
            raise JobFailed(
                f"it runs on Python {program.requires_python}, and this is {python}: "
                f"PROGRAMS={program.name} make programs PYTHON=python3.12"
            )
        with self.installing:
            if self.stop.is_set():
                raise JobFailed("it was stopped")
            self.tell("looks for versions")
            locked = environments.resolve(program, self.wheel)
            fingerprint = environments.fingerprint(program, locked)
            if not self.again and results.holds(program, fingerprint):
                return None
            self.tell("installs")
            directory = environments.make(program, locked)
        try:
            size = environments.megabytes(directory)
            found = self._run(directory / "bin" / "python")
        finally:
            self.turn.leave(program.name)
            self._tidy()
        result = _result(program, environments.installed(locked), size, found)
        results.write(program, result, fingerprint)
        return result

    @cached_property
    def _work(self) -> Path:
        """Outside of the checkout, whose settings programs such as pytest would find."""
        return Path(tempfile.mkdtemp(prefix=f"program-{self.program.name}-"))

    def _tidy(self) -> None:
        kept = STATE / "work" / self.program.name
        shutil.rmtree(kept, ignore_errors=True)
        if self.keep:
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(self._work, kept)
        else:
            environments.remove(self.program)
            shutil.rmtree(self._work, ignore_errors=True)

    def _run(self, python: Path) -> dict[str, Any]:
        """Run the job in its environment."""
        facts: dict[str, Any] = {}
        (self._work / "home").mkdir()
        failure, seconds = "", 0.0
        self._wait_for_turn()
        with account(self.program) as own:

            def roll_over() -> None:
                self._roll_over(own)

            with served(roll_over, facts.update) as address:
                environ = self._environ(python, own, address)
                try:
                    seconds = self._watch(python, environ)
                except JobFailed as error:
                    failure = str(error)
            faults = own.faults() if not failure else own.refusals()
        if failure or faults:
            raise JobFailed("\n".join(filter(None, [failure, *faults])))
        return {"seconds": round(seconds, 1), "logins": own.counts, "facts": facts}

    def _roll_over(self, own: Account) -> None:
        self.turn.give(self.program.name)
        left = own.seconds_to_rollover()
        self.tell(f"waits {left:.0f} s for its keys to expire")
        if not self.stop.wait(left) and self._wait_for_turn():
            own.roll_over()

    def _wait_for_turn(self) -> bool:
        if not self.turn.is_of(self.program.name):
            self.tell("waits for its turn")
        taken = self.turn.take(self.program.name)
        self.tell("works")
        return taken

    def _watch(self, python: Path, environ: dict[str, str]) -> float:
        """Run the job to its end, and return the seconds that it worked."""
        log = self._work / "job.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(python), "-P", str(self.program.path)],
                cwd=self._work,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
            )
        worked, last = 0.0, time.monotonic()
        late = False
        try:
            while process.poll() is None and not late:
                time.sleep(_TICK)
                now = time.monotonic()
                worked += now - last if self.turn.is_of(self.program.name) else 0.0
                last = now
                late = worked > self.program.minutes * 60
                if self.stop.is_set():
                    raise JobFailed("it was stopped")
        finally:
            _end(process)
            processes.kill(environ["PROGRAM_CONTROL"])
        if late or process.returncode:
            words = log.read_text(errors="replace")
            why = f"no end after {self.program.minutes:g} minutes" if late else _reason(words)
            raise JobFailed(f"{why}\n{words[-_SHOWN:]}")
        return worked

    def _environ(self, python: Path, own: Account, control: str) -> dict[str, str]:
        """Of this machine as little as a program needs; of AWS what the emulator gives."""
        # Beside the job are others with the names of the programs, which must not be imported.
        library = STATE / "library"
        library.mkdir(parents=True, exist_ok=True)
        shutil.copy(JOBS / "job.py", library)
        return {
            **{name: os.environ[name] for name in _KEPT if name in os.environ},
            "PATH": os.pathsep.join((str(python.parent), os.environ.get("PATH", os.defpath))),
            "HOME": str(self._work / "home"),
            "PYTHONPATH": str(library),
            "PYTHONUNBUFFERED": "1",
            "VIRTUAL_ENV": str(python.parents[1]),
            **environments.pip_settings(),
            **own.environ(),
            "PROGRAM_CONTROL": control,
            **dict(self.program.env),
        }


def _reason(words: str) -> str:
    """The line of a traceback that says what it was."""
    own = words.partition("\n--- log of ")[0].splitlines()
    lines = [line for line in own if re.match(r"[\w.]+(: |$)", line)]
    return lines[-1] if lines else "it failed"


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        # job.py stops its servers then.
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LAST_WORDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(_LAST_WORDS)


def _result(
    program: Program, versions: dict[str, str], megabytes: int, found: dict[str, Any]
) -> Result:
    drivers = [each.partition("+")[2] or "psycopg2" for each in program.drivers]
    # A job whose program is not in its own environment says which versions those are.
    facts = found["facts"]
    return Result(
        date=datetime.now(UTC).date().isoformat(),
        python=platform.python_version(),
        sqlalchemy=facts.pop("sqlalchemy", versions["sqlalchemy"]),
        packages=facts.pop("packages", None) or _versions(versions, program.packages),
        drivers={name: _first(versions, _DISTRIBUTIONS.get(name, (name,))) for name in drivers},
        megabytes=megabytes,
        **found,
    )


def _versions(versions: dict[str, str], names: Iterable[str]) -> dict[str, str]:
    return {name: _first(versions, (name,)) for name in names}


def _first(versions: dict[str, str], names: Iterable[str]) -> str:
    for name in names:
        if name.lower() in versions:
            return versions[name.lower()]
    raise JobFailed(f"the environment has no {' or '.join(names)}: the job's metadata names it")
