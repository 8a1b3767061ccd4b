"""One process of a peer, which does what it is told: see `command_process`.

It runs where the peer is installed, and imports nothing of this project but its benchmarks.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.lib import client
from benchmarks.lib.command_process import serve
from benchmarks.lib.connects import Sample, connects
from benchmarks.lib.ways import AnyEngine
from benchmarks.peers.ways import WAYS
from benchmarks.probes.cold_probe import memory
from benchmarks.probes.stall_probe import SETTLE, Stillness

BUILDS = {name: way.build for name, way in WAYS.items()}
_MIB = 1 << 20


class Commands:
    """What a process can be told to do. A task names way, URL, what is signed, and so on."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._connects: dict[str, Callable[[], Sample]] = {}

    def open(self, name: str, task: dict[str, Any]) -> None:
        """Make an engine, and its first connection, which brings what only that one costs."""
        engine = _build(task)
        connect = connects(_sync(engine), self._runner if task["is_async"] else None)
        connect()
        self._connects[name] = connect

    def connect(self, name: str, times: int) -> dict[str, Any]:
        """Make so many new connections with an engine, one after the other."""
        return {"samples": [self._connects[name]() for _ in range(times)]}

    def start(self, task: dict[str, Any]) -> dict[str, float]:
        """From an application without AWS to its first connection, in a process that is fresh."""
        _without_aws(task)
        before, wall, cpu = memory(), time.perf_counter(), time.process_time()
        engine = _build(task)
        connects(_sync(engine), self._runner if task["is_async"] else None)()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        grown = {name: bytes_ - before[name] for name, bytes_ in memory().items()}
        mib = grown.get("now", grown["highest"]) / _MIB
        return {"wall_ms": wall * 1e3, "cpu_ms": cpu * 1e3, "memory_mib": mib}

    def gap(self, task: dict[str, Any]) -> dict[str, float]:
        """How long the loop stands still in a first connect, and while it has nothing to do."""
        _without_aws(task)
        return self._runner.run(_gap(task))

    def run(self, task: dict[str, Any]) -> dict[str, Any]:
        """What `client` does."""
        return client.main(task, BUILDS)


class Guarded:
    """The same, but a command that fails answers with the error: one peer's is not the end of all.

    Args:
        commands: what does them.
    """

    def __init__(self, commands: object) -> None:
        self._commands = commands

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        command = getattr(self._commands, name)

        def guarded(*arguments: Any) -> dict[str, Any]:
            try:
                return command(*arguments) or {}
            except Exception as error:  # noqa: BLE001  (of whatever kind, it is reported)
                words = str(error).strip().partition("\n")[0]
                return {"error": f"{type(error).__name__}: {words}"}

        return guarded


async def _gap(task: dict[str, Any]) -> dict[str, float]:
    began = time.perf_counter()
    engine = _build(task)
    assert isinstance(engine, AsyncEngine)
    created = time.perf_counter() - began
    with Stillness() as idle:
        await asyncio.sleep(SETTLE)
    began = time.perf_counter()
    with Stillness() as first:
        async with engine.connect():
            took = time.perf_counter() - began
    await engine.dispose()
    return {
        "gap_ms": first.result()["gap_ms"],
        "idle_ms": idle.result()["gap_ms"],
        "create_ms": created * 1e3,
        "connect_ms": took * 1e3,
    }


def _build(task: dict[str, Any]) -> AnyEngine:
    return BUILDS[task["way"]](make_url(task["url"]), task, is_async=task["is_async"])


def _sync(engine: AnyEngine) -> Engine:
    return engine.sync_engine if isinstance(engine, AsyncEngine) else engine


def _without_aws(task: dict[str, Any]) -> None:
    """Import dialect and driver, which an application has done long before."""
    url: URL = make_url(task["url"]).set(query={})
    if task["is_async"]:
        create_async_engine(url)
    else:
        create_engine(url)


if __name__ == "__main__":
    serve(Guarded(Commands()))
    # What peers have running in the background is not waited for.
    os._exit(0)
