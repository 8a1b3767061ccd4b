"""The connects that a client process makes, from threads and from tasks on event loops."""

from __future__ import annotations

import asyncio
import importlib.util
import random
import threading
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from soak.cast import Worker
from soak.meter import Meter, physical

# Small, and made anew every few seconds: it is the connects that are of interest.
_QUEUE = {"pool_size": 2, "max_overflow": 1, "pool_recycle": 3, "pool_pre_ping": True}


def make_engine(worker: Worker, url: URL) -> Engine | AsyncEngine:
    """The engine that `worker` connects with."""
    url = url.set(drivername=f"postgresql+{worker.driver}").update_query_dict(worker.options)
    pool: dict[str, Any] = {"poolclass": NullPool} if worker.pool == "null" else _QUEUE
    if worker.loop is None:
        return create_engine(url, **pool)
    return create_async_engine(url, **pool)


def connect(meter: Meter, name: str, engine: Engine) -> None:
    """Connect once and ask for something."""
    with meter.connect(name) as found, engine.connect() as connection:
        found.update(_used(connection))


async def connect_async(meter: Meter, name: str, engine: AsyncEngine) -> None:
    """Connect once and ask for something."""
    with meter.connect(name) as found:
        async with engine.connect() as connection:
            found.update(await connection.run_sync(_used))


def _used(connection: Connection) -> dict[str, Any]:
    found = physical(connection)
    connection.exec_driver_sql("select 1")
    return found


class Workers:
    """All threads and tasks of one process."""

    def __init__(self, workers: Iterable[Worker], url: URL, meter: Meter, *, pause: float) -> None:
        # Made here, before there is any event loop.
        self.engines = [(worker, make_engine(worker, url)) for worker in workers]
        self._meter = meter
        self._pause = pause
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        for _, engine in self.engines:
            meter.attend(engine.sync_engine if isinstance(engine, AsyncEngine) else engine)

    def start(self) -> None:
        """Set them going."""
        for worker, engine in self.engines:
            if isinstance(engine, Engine):
                for _ in range(worker.count):
                    self._begin(self._thread, worker.name, engine)
        loops = sorted({worker.loop for worker, _ in self.engines if worker.loop is not None})
        for number in loops:
            self._begin(self._loop, number)
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> list[str]:
        """Let each finish its connect; the names of those that have not, within `seconds`."""
        self._stop.set()
        for thread in self._threads:
            thread.join(seconds)
        return [thread.name for thread in self._threads if thread.is_alive()]

    def _begin(self, run: Callable[..., None], *arguments: Any) -> None:
        self._threads.append(threading.Thread(target=run, args=arguments, daemon=True))

    def _next(self) -> float:
        return random.uniform(0.2, 1.8) * self._pause

    def _thread(self, name: str, engine: Engine) -> None:
        while not self._stop.wait(self._next()):
            connect(self._meter, name, engine)

    def _loop(self, number: int) -> None:
        with asyncio.Runner(loop_factory=_loop_factory(number)) as runner:
            runner.run(self._tasks(number))

    async def _tasks(self, number: int) -> None:
        async with asyncio.TaskGroup() as group:
            for worker, engine in self.engines:
                if worker.loop == number and isinstance(engine, AsyncEngine):
                    for _ in range(worker.count):
                        group.create_task(self._task(worker.name, engine))
        for worker, engine in self.engines:
            if worker.loop == number and isinstance(engine, AsyncEngine):
                await engine.dispose()

    async def _task(self, name: str, engine: AsyncEngine) -> None:
        while not self._stop.is_set():
            await asyncio.sleep(self._next())
            await connect_async(self._meter, name, engine)


def _loop_factory(number: int) -> Callable[[], asyncio.AbstractEventLoop]:
    """The second loop is uvloop's, where that is installed."""
    if number and importlib.util.find_spec("uvloop"):
        factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
        return factory
    return asyncio.new_event_loop
