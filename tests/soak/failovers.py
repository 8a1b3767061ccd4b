"""A cluster whose writer changes now and then, and one client process for each driver that writes.

What was reported as done has to be on the writer of the end. A worker may see one error for each
failover, of the transaction that was in flight.
"""

from __future__ import annotations

import math
import random
import statistics
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal, Self

from benchmarks.lib.command_process import CommandProcess
from benchmarks.lib.database_process import own_environment
from sqlalchemy_rds_iam.testing import RdsCluster

DRIVERS = {
    "psycopg": False,
    "psycopg2": False,
    "pg8000": False,
    "asyncpg": True,
    "psycopg_async": True,
}
"""The drivers, and whether they are used in tasks instead of threads."""

KINDS: dict[str, bool | Literal["restart"] | None] = {
    "killed": True,
    "restarted": "restart",
    "left read-only": False,
    "switch-over": None,
}
"""What becomes of the old writer, as `RdsCluster.failover` calls it; None is in good order."""

LAGS = (0.0, 5.0)
WORKERS, PAUSE = 3, 0.25
SLACK = 5.0
"""Seconds after the name has moved that an overloaded machine may need for an error to come out."""

REST = 3.0
"""Seconds until the old writer is the standby, for which there is none."""

_DEADLINE = 120.0
_DATABASE = "app"


@dataclass
class Failover:
    """One of them, by ``time.monotonic()``.

    Attributes:
        kind: one of `KINDS`.
        start: when the fault began.
        moved: when the name led to the new writer.
        writes: how many ended from the fault until shortly after that.
        failed: how many of them were errors.
    """

    kind: str
    start: float
    moved: float = math.inf
    writes: int = 0
    failed: int = 0

    def met(self, at: float) -> bool:
        """Whether a write that ended then may have met it."""
        return self.start <= at <= self.moved + SLACK


Failed = tuple[int, float, str, bool, bool]
"""A failed write, as `failover_client` tells it: worker, when, the error's words, two more."""


def unexcused(failed: list[Failed], failovers: Sequence[Failover]) -> list[str]:
    """The errors that no failover explains, and a worker's second one in the same failover."""
    seen: set[tuple[int, int]] = set()
    lines = []
    for worker, at, words, *_ in failed:
        around = [number for number, each in enumerate(failovers) if each.met(at)]
        if not around:
            lines.append(f"worker {worker}, no failover: {words}")
        elif (worker, around[-1]) in seen:
            lines.append(f"worker {worker}, once more: {words}")
        seen |= {(worker, number) for number in around[-1:]}
    return lines


class Failovers:
    """The cluster, its clients, and a thread that makes one failover after the other.

    Args:
        gap: mean seconds between two of them.

    Attributes:
        happened: the failovers so far.
    """

    def __init__(self, gap: float) -> None:
        self.happened: list[Failover] = []
        self._gap = gap
        self._parts = ExitStack()
        self._clients: dict[str, CommandProcess] = {}
        self._end = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="soak-failovers")

    def __enter__(self) -> Self:
        with self._parts as undo:
            cluster = self._cluster = undo.enter_context(RdsCluster())
            cluster.execute("CREATE TABLE written (number bigint PRIMARY KEY)", _DATABASE)
            cluster.execute("GRANT INSERT ON written TO PUBLIC", _DATABASE)
            environ = own_environment() | cluster.environ()
            for number, (driver, is_async) in enumerate(DRIVERS.items(), 1):
                client = undo.enter_context(
                    CommandProcess(
                        "benchmarks.probes.failover_client",
                        name=f"the client of {driver}",
                        environ=environ,
                        deadline=_DEADLINE,
                    )
                )
                self._clients[driver] = client
                url = cluster.writer_url(f"postgresql+{driver}")
                task = {
                    "url": url.render_as_string(),
                    "way": "plugin",
                    "is_async": is_async,
                    "workers": WORKERS,
                    "pause": PAUSE,
                    "deadline": _DEADLINE / 2,
                    "first": number * 10**9,
                }
                client.ask("start", task)
            self._thread.start()
            undo.callback(self._thread.join)
            undo.callback(self._end.set)
            self._parts = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    def rows(self) -> tuple[list[dict[str, Any]], list[str], list[str]]:
        """End the failovers and the writing: numbers of each client, what was lost, and broken."""
        self._end.set()
        self._thread.join()
        broken = [] if self._failure is None else [f"the failovers ended: {self._failure!r}"]
        found = {driver: client.ask("stop") for driver, client in self._clients.items()}
        present = {
            int(str(number))
            for (number,) in self._cluster.execute("SELECT number FROM written", _DATABASE)
        }
        rows: list[dict[str, Any]] = []
        lost: list[str] = []
        for driver, written in found.items():
            missing = {number for _, number, _ in written["done"]} - present
            errors = unexcused(written["failed"], self.happened)
            lost += [f"{driver}: write {n} was reported as done and is not there" for n in missing]
            lost += [f"{driver}: {line}" for line in errors]
            for each in self.happened:
                failed = sum(each.met(at) for _, at, *_ in written["failed"])
                each.failed += failed
                each.writes += failed + sum(each.met(at) for _, _, at in written["done"])
            if written["stuck"]:
                broken.append(f"{driver}: {written['stuck']} workers have not ended")
            firsts = [self._first(written["done"], each.moved) for each in self.happened]
            rows.append(
                {
                    "client": driver,
                    "writes": len(written["done"]),
                    "failed": len(written["failed"]),
                    "lost": len(missing) + len(errors),
                    "first_median": statistics.median(firsts) if firsts else math.nan,
                    "first_most": max(firsts, default=math.nan),
                }
            )
        if not self.happened:
            broken.append("there was no failover")
        return rows, lost, broken

    @staticmethod
    def _first(done: list[tuple[int, int, float]], moved: float) -> float:
        return min((at - moved for _, _, at in done if at >= moved), default=math.inf)

    def _run(self) -> None:
        try:
            while not self._end.wait(random.uniform(0.5, 1.5) * self._gap):
                self._fail_over()
        except Exception as error:  # noqa: BLE001  (it is part of the verdict)
            self._failure = error

    def _fail_over(self) -> None:
        name, lag = random.choice(list(KINDS)), random.uniform(*LAGS)
        event = Failover(name, time.monotonic())
        self.happened.append(event)
        kill = KINDS[name]
        if kill is None:
            self._cluster.switch_over(lag)
        else:
            self._cluster.failover(lag, kill=kill)
        if not self._cluster.names.moved.wait(lag + _DEADLINE):
            raise TimeoutError("the names have not followed")
        event.moved = self._cluster.names.moved_at
        time.sleep(REST)
        if self._cluster.standby is None:
            self._cluster.rejoin()
