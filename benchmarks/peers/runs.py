"""The peers' processes, and what each of them is told to do against one and the same emulator."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from benchmarks.lib import emulated, measure
from benchmarks.lib.command_process import HERE, CommandProcess, Python
from benchmarks.lib.connects import Sample
from benchmarks.peers import environments
from benchmarks.peers.ways import OWN, PLUGIN, WAYS

T = TypeVar("T")

_DEADLINE = 180.0
_BATCH = 3
"""Connects in a row: the first one of a process that was idle is dearer than the others."""

_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
TIMEOUT, CONNECT_TIMEOUT = 120, 30


class Case(NamedTuple):
    """One way with one driver."""

    way: str
    driver: str

    def __str__(self) -> str:
        return f"{self.driver} {self.way}"


Key = tuple[Case, str]
"""A case, and the name of a CA file."""


class Effort(NamedTuple):
    """How often something is measured.

    Attributes:
        rounds: at most.
        seconds: after which no round begins but the first.
    """

    rounds: int
    seconds: float


class FailedError(Exception):
    """A peer failed; the text says how."""


class Peers:
    """The processes of the peers; meanwhile their environments can be imported from.

    Args:
        ways: their names.
        drivers: with which.
        here: take this environment for this project's, and leave out what is not in it.

    Attributes:
        cases: every way with every driver that was asked for, and can be run.
        failed: the others, by name, and why.
        versions: what each environment is pinned to, by its name.
    """

    def __init__(self, ways: Iterable[str], drivers: Iterable[str], *, here: bool = False) -> None:
        asked, wanted, self._is_here = set(ways), tuple(drivers), here
        self._ways = {
            name: way
            for name, way in WAYS.items()
            if name in asked and (way.environment == OWN or not here)
        }
        self.cases = [
            Case(name, driver)
            for driver in wanted
            for name, way in self._ways.items()
            if driver in way.drivers
        ]
        self.failed: dict[str, str] = {}
        self.versions: dict[str, Mapping[str, str]] = {}
        self._pythons: dict[str, Python] = {}
        self._running = ExitStack()

    def __enter__(self) -> Self:
        used = {case.way: self._ways[case.way].environment for case in self.cases}
        if self._is_here:
            self._pythons = dict.fromkeys(used, HERE)
            return self
        made = environments.make_all(sorted({*used.values()}), measure.progress)
        self.versions = {name: found.versions for name, found in made.items()}
        with ExitStack() as starting:
            for way, name in used.items():
                if made[name].executable is None:
                    self.fail(way, f"{name} cannot be installed: {made[name].reason}")
                    continue
                self._pythons[way] = starting.enter_context(environments.importable(made[name]))
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def fail(self, what: Case | str, why: str) -> None:
        """Leave a case, or a whole way, out from now on, and keep the reason."""
        measure.progress(f"{what} is left out: {why}")
        self.failed[str(what)] = why
        self.cases = [case for case in self.cases if what not in {case, case.way}]

    @contextmanager
    def process(self, case: Case, environ: Mapping[str, str]) -> Iterator[Ask]:
        """A fresh process for a case; it does what it is asked for.

        Args:
            case: the way, and the driver.
            environ: its environment.
        """
        python = self._pythons[case.way]
        # An installed package is compiled; a checkout is by the first process that imports it.
        left_out = {"PYTHONDONTWRITEBYTECODE"}
        if python != HERE:
            # It leads to this checkout, whose package has the same name as that of a peer.
            left_out.add("PYTHONPATH")
        mine = {name: value for name, value in environ.items() if name not in left_out}
        with CommandProcess(
            "benchmarks.peers.probe",
            name=str(case),
            environ=mine,
            deadline=_DEADLINE,
            python=python,
        ) as process:

            def ask(*command: Any) -> dict[str, Any]:
                answer = process.ask(*command)
                if "error" in answer:
                    raise FailedError(answer["error"])
                return answer

            yield ask


Ask = Callable[..., dict[str, Any]]


class Place(NamedTuple):
    """Where connects go.

    Attributes:
        rds: the emulator.
        port: what clients connect to, and sign for.
        files: CA files by name.
        login: user and password of one whom the database itself verifies.
        cache: the directory for the plugin's CA files.
    """

    rds: emulated.Emulator
    port: int
    files: Mapping[str, str]
    login: tuple[str, str]
    cache: Path

    def task(
        self,
        case: Case,
        file: str,
        options: Mapping[str, str] | None = None,
        *,
        is_async: bool = False,
    ) -> dict[str, Any]:
        """What a process has to know.

        Args:
            case: the way, and the driver.
            file: with the CAs.
            options: of this project's plugin; no other way has them.
            is_async: whether the driver is used in tasks.
        """
        url = self.rds.urls[case.driver].set(port=self.port)
        query = {"rds_iam_ca": file} | (dict(options or {}) if case.way == PLUGIN else {})
        return {
            "way": case.way,
            "url": url.update_query_dict(query).render_as_string(),
            "signed": self.rds.signed,
            "login": self.login,
            "is_async": is_async,
        }

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a process there."""
        return self.rds.environ | {"XDG_CACHE_HOME": str(self.cache)}

    @property
    def of_keys(self) -> dict[str, str]:
        """The same where there are keys and nothing else, as in AWS Lambda."""
        return self.environ | dict.fromkeys(_FILES, os.devnull)

    @property
    def of_role(self) -> dict[str, str]:
        """The same for one that has to assume a role, for which it asks STS."""
        kept = {name: value for name, value in self.environ.items() if name not in _KEYS}
        return kept | {"AWS_PROFILE": emulated.PROFILE}


def samples(
    peers: Peers, place: Place, driver: str, effort: Effort, names: Iterable[str]
) -> dict[Key, list[list[Sample]]]:
    """What connects of one driver take, by case and CA file, interleaved: A B C, A B C.

    Every case has a process of its own, which is there through all rounds.
    """
    with ExitStack() as running:
        asks: dict[Key, Ask] = {}
        for case in [each for each in peers.cases if each.driver == driver]:
            try:
                ask = running.enter_context(peers.process(case, place.environ))
                for name in names:
                    task = place.task(case, place.files[name], is_async=driver == "asyncpg")
                    ask("open", name, task)
            except (FailedError, measure.NoResult) as error:
                peers.fail(case, str(error))
            else:
                asks |= {(case, name): ask for name in names}

        def run(case: Case, name: str) -> list[Sample]:
            found = asks[case, name]("connect", name, _BATCH)
            return [Sample(*each) for each in found["samples"]]

        return in_rounds(peers, asks, run, effort)


def in_rounds(
    peers: Peers, keys: Iterable[Key], run: Callable[[Case, str], T], effort: Effort
) -> dict[Key, list[T]]:
    """Each key once a round; one that fails is left out from then on, and so is what it found."""
    found: dict[Key, list[T]] = {key: [] for key in keys}
    began = time.monotonic()
    for number in range(effort.rounds):
        if number and time.monotonic() - began > effort.seconds:
            measure.progress(f"after {effort.seconds:g} s that is enough")
            break
        label = ", ".join(dict.fromkeys(case.driver for case, _ in found))
        measure.progress(f"round {number + 1} of {effort.rounds}: {label}")
        for key in list(found):
            try:
                found[key].append(run(*key))
            except (FailedError, measure.NoResult) as error:
                peers.fail(key[0], str(error))
                del found[key]
    return found


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
