"""Support for the tests of failovers: a load, connections, and what is seen at the endpoints."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Self, TypeVar

from patience import DEADLINE, eventually
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from worlds import Database

from sqlalchemy_rds_iam._connecting.failover import Failover
from sqlalchemy_rds_iam._failover.server_search import ServerSearch
from sqlalchemy_rds_iam.testing import RdsCluster

TABLE = "written"
INSERT = text(f"INSERT INTO {TABLE} VALUES (:n)")

LATE = 3600.0
"""Seconds of a lag that the test ends by `follow`."""

T = TypeVar("T")


def using(database: Database, body: Callable[[Connection], T]) -> T:
    """Run `body` with a connection of the pool, whose transactions are its own."""
    if database._runner is None:
        with database.engine.connect() as connection:
            return body(connection)

    async def in_greenlet() -> T:
        async with database._async_engine.connect() as connection:
            return await connection.run_sync(body)

    return database._runner.run(in_greenlet())


def write(database: Database, n: int = 1) -> None:
    """Write a row."""
    database.run(lambda connection: connection.execute(INSERT, {"n": n}))


def write_at_last(database: Database, n: int = 1) -> Any:
    """Write a row, a second time if the first fails as a disconnect, whose error is returned."""
    try:
        write(database, n)
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        write(database, n)
        return error
    return None


@contextlib.contextmanager
def aside(body: Callable[[], T]) -> Iterator[Future[T]]:
    """Run `body` in a thread beside the block."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(body)


def rows(cluster: RdsCluster) -> set[int]:
    """What is in the table of the server that is the writer."""
    return {int(str(n)) for (n,) in cluster.execute(f"SELECT n FROM {TABLE}", "app")}


def follow(cluster: RdsCluster) -> None:
    """Let the names lead to the new writer, however late they were to be."""
    cluster._call(cluster.names.move_at_once())


def pid(database: Database) -> Any:
    """What tells the session of a pooled connection from others."""
    return database.scalar(database.words.session)


def search_of(database: Database) -> ServerSearch:
    """The search for the right server that an engine takes part in."""
    found: Failover = database.inside.listener._failover
    [search] = found._searches.values()
    return search


def looks(database: Database, attempts: int = 1) -> None:
    """Wait until the server has been looked for in vain."""

    def has_looked() -> bool:
        searches = database.inside.listener._failover._searches
        return any(each.began_at and each.attempts >= attempts for each in searches.copy().values())

    eventually(has_looked, "the server is not looked for")


class Write(NamedTuple):
    """What came of one transaction.

    Attributes:
        worker: whose.
        n: what it has written.
        ended: when, by ``time.monotonic()``.
        error: what it failed with.
    """

    worker: int
    n: int
    ended: float
    error: Exception | None


class Load:
    """Workers that write one row after the other: four threads, or eight tasks of an async engine.

    Attributes:
        done: what came of all transactions so far.
    """

    def __init__(self, database: Database) -> None:
        self.done: list[Write] = []
        self.size = 8 if database.is_async else 4
        self._database, self._numbers = database, itertools.count(1)
        self._stops = threading.Event()
        self._threads = [threading.Thread(target=each) for each in self._bodies()]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        eventually(lambda: self.all_wrote(0.0), "the workers do not write")
        return self

    def __exit__(self, *_: object) -> None:
        self._stops.set()
        for thread in self._threads:
            thread.join(DEADLINE)

    @property
    def errors(self) -> list[Write]:
        """The transactions that have failed."""
        return [each for each in self.done if each.error]

    @property
    def reported(self) -> set[int]:
        """The rows whose commits were reported as done."""
        return {each.n for each in self.done if not each.error}

    def all_wrote(self, since: float) -> bool:
        """Whether each worker has written something since then."""
        wrote = {each.worker for each in self.done[:] if not each.error and each.ended > since}
        return len(wrote) == self.size

    def _bodies(self) -> list[Callable[[], None]]:
        if self._database.is_async:
            # Its own engine's loop is that of the test's thread, which only watches.
            return [lambda: self._database._runner.run(self._tasks())]  # type: ignore[union-attr]
        return [lambda worker=worker: self._thread(worker) for worker in range(self.size)]  # type: ignore[misc]

    def _thread(self, worker: int) -> None:
        while not self._stops.wait(0.005):
            n, error = next(self._numbers), None
            try:
                with self._database.engine.begin() as connection:
                    connection.execute(INSERT, {"n": n})
            except Exception as failure:  # noqa: BLE001  (it is what is looked at)
                error = failure
            self.done.append(Write(worker, n, time.monotonic(), error))

    async def _task(self, worker: int) -> None:
        while not self._stops.is_set():
            n, error = next(self._numbers), None
            try:
                async with self._database._async_engine.begin() as connection:
                    await connection.execute(INSERT, {"n": n})
            except Exception as failure:  # noqa: BLE001  (it is what is looked at)
                error = failure
            self.done.append(Write(worker, n, time.monotonic(), error))
            await asyncio.sleep(0.005)

    async def _tasks(self) -> None:
        await asyncio.gather(*map(self._task, range(self.size)))
