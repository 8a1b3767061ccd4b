"""One fresh client process of ``failover.py``: writes until it is told to stop.

Reads commands (see `command_process`): ``start`` with a task, answered once each worker has
written; ``stop``, answered with all that was written, and when by ``time.monotonic()``.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
import time
from typing import Any

from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.lib import runtime
from benchmarks.lib.command_process import serve
from benchmarks.lib.ways import AnyEngine, Task, signed_token, without_plugin

_INSERT = text("INSERT INTO written VALUES (:number)")
_READ_ONLY = re.compile("read-only transaction|--read-only option")


def engine_of(task: Task) -> AnyEngine:
    """The engine that writes.

    With the way "driver alone" there is no plugin, as ours would take the driver's setting for its
    own: the password is a token signed beforehand.
    """
    url = make_url(task["url"])
    arguments: dict[str, Any] = {}
    if task["way"] == "driver alone":
        password = signed_token(task, url)
        url, arguments = without_plugin(url)
        url, arguments["target_session_attrs"] = url.set(password=password), "read-write"
    else:
        wanted = "read-write" if task["way"] == "plugin" else "any"
        url = url.update_query_dict({"rds_iam_target_session_attrs": wanted})
    create: Any = create_async_engine if task["is_async"] else create_engine
    engine: AnyEngine = create(
        url,
        connect_args=arguments,
        pool_pre_ping=True,
        pool_size=task["workers"],
        max_overflow=0,
    )
    return engine


class Record:
    """What the workers of this process have written, and what they could not."""

    def __init__(self, workers: int, first: int) -> None:
        self.done: list[tuple[int, int, float]] = []
        self.failed: list[tuple[int, float, str, bool, bool]] = []
        self.all_have_written = threading.Event()
        self._missing = set(range(workers))
        self._numbers = itertools.count(first)

    def number(self) -> int:
        """One that nothing has been written with."""
        return next(self._numbers)

    def note(self, worker: int, number: int, error: Exception | None) -> None:
        """Note a transaction that has just ended."""
        now = time.monotonic()
        if error is None:
            self.done.append((worker, number, now))
            self._missing.discard(worker)
            if not self._missing:
                self.all_have_written.set()
            return
        words = str(error).strip().partition("\n")[0][:200]
        told = bool(getattr(error, "connection_invalidated", False))
        self.failed.append((worker, now, words, bool(_READ_ONLY.search(str(error))), told))


class Client:
    """The commands, and the workers."""

    def start(self, task: Task) -> dict[str, Any]:
        """Set the workers going."""
        runtime.many_files()
        self._task, self._stop = task, threading.Event()
        self._record = Record(task["workers"], task.get("first", 1))
        engine = engine_of(task)
        if isinstance(engine, AsyncEngine):
            self._threads = [threading.Thread(target=runtime.run, args=(self._tasks(engine),))]
        else:
            self._threads = [
                threading.Thread(target=self._thread, args=(engine, worker))
                for worker in range(task["workers"])
            ]
        for thread in self._threads:
            thread.daemon = True
            thread.start()
        if not self._record.all_have_written.wait(task["deadline"]):
            raise TimeoutError(f"not every worker has written: {self._record.failed[:3]}")
        return {}

    def stop(self) -> dict[str, Any]:
        """Let each worker finish, and say what there was."""
        self._stop.set()
        for thread in self._threads:
            thread.join(self._task["deadline"])
        stuck = sum(thread.is_alive() for thread in self._threads)
        return {"done": self._record.done, "failed": self._record.failed, "stuck": stuck}

    def _thread(self, engine: Engine, worker: int) -> None:
        while not self._stop.is_set():
            number, error = self._record.number(), None
            try:
                with engine.begin() as connection:
                    connection.execute(_INSERT, {"number": number})
            except Exception as caught:  # noqa: BLE001  (it is what is counted)
                error = caught
            self._record.note(worker, number, error)
            time.sleep(self._task["pause"])

    async def _tasks(self, engine: AsyncEngine) -> None:
        async with asyncio.TaskGroup() as group:
            for worker in range(self._task["workers"]):
                group.create_task(self._in_task(engine, worker))
        await engine.dispose()

    async def _in_task(self, engine: AsyncEngine, worker: int) -> None:
        while not self._stop.is_set():
            number, error = self._record.number(), None
            try:
                async with engine.begin() as connection:
                    await connection.execute(_INSERT, {"number": number})
            except Exception as caught:  # noqa: BLE001  (it is what is counted)
                error = caught
            self._record.note(worker, number, error)
            await asyncio.sleep(self._task["pause"])


if __name__ == "__main__":
    serve(Client())
