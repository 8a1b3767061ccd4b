"""The emulator in a process of its own (`emulator_process`), for benchmarks that put load on it.

Its maximum, the logins a second that it serves on this machine while clients take their share of
the processors, is measured first and told with every result: above it, it is the emulator that is
measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Self

from benchmarks.lib import measure
from benchmarks.lib.command_process import HERE, CommandProcess, Python
from benchmarks.lib.database_process import DatabaseProcess
from benchmarks.lib.drivers import DRIVERS, missing
from sqlalchemy_rds_iam.testing.server import mariadb_programs

CEILING = 200
"""New connections a second, which AWS documented for years."""

BARE_THREADS = 8
PROFILE = "role"
"""Of the emulator's environment: a role to be assumed, which takes STS."""


class Emulator(DatabaseProcess):
    """The emulator, seen from another process.

    Args:
        engine: the kind of database.
        reuse: let one server session after another serve many clients, as RDS Proxy does: forking a
            PostgreSQL process costs more than all the rest of a login.
        ports: the one that tokens are signed for, and the one that it listens on; by default the
            database's own, and any.
    """

    def __init__(
        self,
        engine: str = "postgresql",
        *,
        reuse: bool = True,
        ports: tuple[int, int] | None = None,
    ) -> None:
        arguments = [engine, *(["reuse"] if reuse else []), *(map(str, ports or ()))]
        super().__init__(
            CommandProcess("benchmarks.lib.emulator_process", *arguments, name="the emulator")
        )

    def start_over(self, ceiling: float | None) -> None:
        """Forget all logins, and admit so many a second from now on."""
        self._process.ask("start_over", ceiling)

    def login(self) -> tuple[str, str]:
        """A user that logs in with a password, which the database itself verifies."""
        found = self._process.ask("login")
        return found["user"], found["password"]

    def slow_sts(self, latency: float) -> None:
        """Let STS take so many seconds to answer."""
        self._process.ask("slow_sts", latency)

    def lifetime(self, seconds: float | None) -> None:
        """Let the keys that STS issues live so long; None for as long as they are asked for."""
        self._process.ask("lifetime", seconds)

    def curve(self, name: str | None) -> None:
        """Agree on keys by this elliptic curve alone; None for all that OpenSSL knows."""
        self._process.ask("curve", name)

    def logins(self) -> dict[str, Any]:
        """The logins since `start_over`: granted, refused by reason, most in a second."""
        return self._process.ask("logins")

    def others(self, strategy: str, processes: int, pool: int, begin: float, seed: int) -> None:
        """Let so many simulated processes be deployed, too, below the same ceiling.

        Args:
            strategy: what they do about it.
            processes: how many there are.
            pool: how many connects each of them wants.
            begin: when, in epoch seconds.
            seed: of everything about them that is random.
        """
        self._process.ask("others", strategy, processes, pool, begin, seed)

    def outcome_of_others(self) -> dict[str, Any]:
        """What came of them: see `Others.outcome`."""
        return self._process.ask("outcome_of_others")

    def sts_calls(self) -> list[float]:
        """When STS was asked since `start_over`, in seconds of the epoch."""
        times: list[float] = self._process.ask("sts_calls")["times"]
        return times

    def maximum(self, seconds: float = 1.0, rounds: int = 3) -> float:
        """The median logins a second of a client that does nothing else, in so many tries."""
        measure.progress("the emulator's own maximum")
        found = []
        for _ in range(rounds):
            self.start_over(None)
            done = client(
                {
                    "url": self.url.render_as_string(),
                    "way": "bare",
                    "signed": self.signed,
                    "workers": BARE_THREADS,
                    "seconds": seconds,
                },
                self.environ,
            )
            found.append(sum(ok for _, _, ok in done["connects"]) / seconds)
        return float(statistics.median(found))


class Emulators:
    """The emulators that some drivers need, one for each kind of database, running meanwhile.

    Attributes:
        drivers: Those that are installed, and whose server is; the others are named.
    """

    def __init__(self, drivers: Iterable[str], *, reuse: bool = True) -> None:
        self.drivers = [driver for driver in drivers if is_here(driver)]
        if not self.drivers:
            raise measure.NoResult("none of the drivers can be measured on this machine")
        engines = dict.fromkeys(DRIVERS[driver].engine for driver in self.drivers)
        self._emulators = {engine: Emulator(engine, reuse=reuse) for engine in engines}
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            for each in self._emulators.values():
                starting.enter_context(each)
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def of(self, driver: str) -> Emulator:
        """The one that a driver connects to."""
        return self._emulators[DRIVERS[driver].engine]

    def __iter__(self) -> Iterator[Emulator]:
        return iter(self._emulators.values())

    def maximum(self, rounds: int = 3) -> float:
        """The least of their own maxima."""
        return min(each.maximum(rounds=rounds) for each in self)


def is_here(driver: str) -> bool:
    """Whether the driver and its server can be measured on this machine; if not, say why."""
    why = missing(driver)
    if why is None and DRIVERS[driver].engine == "mysql":
        try:
            mariadb_programs.find()
        except RuntimeError as error:
            why = str(error)
    if why is not None:
        measure.progress(f"{driver} is left out: {why}")
    return why is None


def take_ceiling(command: argparse.ArgumentParser) -> None:
    """Take the ceiling from the command line."""
    command.add_argument(
        "--ceiling",
        type=measure.positive_integer,
        default=CEILING,
        help="logins a second; default: %(default)s",
    )


def ceiling(asked: int, maximum: float) -> int:
    """As many logins a second as asked for, or half of what the emulator can do if that is less."""
    return min(asked, max(int(maximum / 2), 2))


def limits(results: Mapping[str, Any]) -> str:
    """What a second may hold, and what the emulator could do: the head of a table."""
    if (maximum := results["emulator_maximum"]) is None:
        return f"At most {results['ceiling']} logins in any second."
    why = ""
    if results["ceiling"] < results["asked_ceiling"]:
        why = f", half of that instead of the {results['asked_ceiling']} asked for"
    return (
        f"The emulator's own maximum: {maximum:.0f} logins a second. "
        f"Admitted in any second: {results['ceiling']}{why}."
    )


def client(task: dict[str, Any], environ: dict[str, str]) -> dict[str, Any]:
    """Run ``client.py`` with `task` in a process of its own, and return what it says.

    Raises:
        NoResult: it failed, or has no end.
    """
    found: dict[str, Any] = run_module(
        "benchmarks.lib.client", environ, task=task, name=task["way"], limit=180.0
    )
    return found


def run_module(
    module: str,
    environ: dict[str, str],
    *arguments: str,
    task: dict[str, Any] | None = None,
    name: str,
    limit: float,
    python: Python = HERE,
) -> Any:
    """Run a module in a process of its own, and return what it says.

    Args:
        module: its name, from the checkout on.
        environ: its environment.
        arguments: of its command line.
        task: what it reads from standard input, as JSON.
        name: of what is measured, for error messages.
        limit: seconds that it may take.
        python: what runs it.

    Raises:
        NoResult: it failed, or took longer.
    """
    try:
        done = subprocess.run(
            [python.executable, "-m", module, *arguments],
            cwd=python.directory,
            input=None if task is None else json.dumps(task),
            env=environ,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise measure.NoResult(f"{name}: {module} has no end after {limit:g} s") from None
    if done.returncode:
        raise measure.NoResult(f"{name}: {module} failed\n{done.stderr}")
    return json.loads(done.stdout)
