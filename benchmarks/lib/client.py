"""One fresh client process of a benchmark: connects through a real engine, and says how it went.

Reads a task as JSON from standard input and writes when each connect began, how long it took and
what came of it to standard output.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import URL, Engine, make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.lib import runtime
from benchmarks.lib.ways import WAYS, Build, Task, signed_token, without_plugin

STACK = 1 << 19
"""Bytes, as a storm is thousands of threads."""


class Work:
    """What there is to do, for any number of threads or tasks, and what came of it.

    Args:
        task: ``connects`` in all, or for so many ``seconds``; ``pace``, if given, is the most that
            begin in any second; ``pause`` is what each worker waits from one to the next.
    """

    def __init__(self, task: Task) -> None:
        self._left = iter(range(task["connects"])) if task.get("connects") else itertools.repeat(0)
        self._seconds = task.get("seconds") or float("inf")
        self._pace = _limiter(task["pace"]) if task.get("pace") else None
        self.pause: float = task.get("pause", 0.0)
        self.done: list[tuple[float, float, bool]] = []
        self.errors: Counter[str] = Counter()

    def start(self) -> None:
        """From now on it counts."""
        # What there is by now is there to stay: no collection that stops all connects for longer
        # than the ceiling's window can bear has to look at it.
        gc.collect()
        gc.freeze()
        self.epoch, self.began = time.time(), time.perf_counter()

    def more(self) -> bool:
        """Whether there is another connect to be made; it is the caller's."""
        if time.perf_counter() - self.began >= self._seconds:
            return False
        return next(self._left, None) is not None

    def turns(self) -> Any:
        """The seconds to wait, one after the other, before a connect may begin."""
        if self._pace is None:
            return
        ticket = self._pace.enqueue(time.monotonic(), float("inf"))
        while ticket is not None:
            yield ticket.wait
            ticket = self._pace.poll(ticket, time.monotonic(), float("inf"))

    def note(self, began: float, error: Exception | None) -> None:
        """Note a connect that began at `began` and has just ended."""
        ended = time.perf_counter()
        self.done.append((began - self.began, ended - began, error is None))
        if error is not None:
            self.errors[_words(error)] += 1


def in_threads(work: Work, workers: int, connect: Callable[[], object]) -> None:
    """Do the work in threads that all begin at once."""
    gate = threading.Event()

    def run() -> None:
        gate.wait()
        while work.more():
            for seconds in work.turns():
                time.sleep(seconds)
            began = time.perf_counter()
            error = None
            try:
                connect()
            except Exception as caught:  # noqa: BLE001  (it is what is counted)
                error = caught
            work.note(began, error)
            if work.pause:
                time.sleep(work.pause)

    threading.stack_size(STACK)
    threads = [threading.Thread(target=run) for _ in range(workers)]
    for thread in threads:
        thread.start()
    work.start()
    gate.set()
    for thread in threads:
        thread.join()


async def in_tasks(work: Work, workers: int, engine: AsyncEngine) -> None:
    """Do the work in tasks of the running loop."""

    async def run() -> None:
        while work.more():
            for seconds in work.turns():
                await asyncio.sleep(seconds)
            began = time.perf_counter()
            error = None
            try:
                async with engine.connect():
                    pass
            except Exception as caught:  # noqa: BLE001  (it is what is counted)
                error = caught
            work.note(began, error)
            if work.pause:
                await asyncio.sleep(work.pause)

    work.start()
    await asyncio.gather(*(run() for _ in range(workers)))


def main(task: Task, ways: Mapping[str, Build] = WAYS) -> dict[str, Any]:
    """Do what `task` says.

    Args:
        task: what to do, and in which of the ways.
        ways: how to make an engine, by the name of the way.
    """
    runtime.many_files()
    url = make_url(task["url"])
    work = Work(task)
    if task["way"] == "bare":
        in_threads(work, task["workers"], _bare(url, task))
    else:
        engine = ways[task["way"]](url, task, is_async=task["is_async"])
        if isinstance(engine, AsyncEngine):
            runtime.run(_with_tasks(engine, work, task))
        else:
            _with_threads(engine, work, task)
    return {
        "epoch": work.epoch,
        "connects": [(round(at, 5), round(took, 5), ok) for at, took, ok in work.done],
        "errors": dict(work.errors),
    }


def _with_threads(engine: Engine, work: Work, task: Task) -> None:
    def connect() -> None:
        with engine.connect():
            pass

    connect()  # SQLAlchemy asks for the server's version, and the first token is fetched
    time.sleep(task.get("rest", 0.0))
    in_threads(work, task["workers"], connect)
    engine.dispose()


async def _with_tasks(engine: AsyncEngine, work: Work, task: Task) -> None:
    async with engine.connect():
        pass
    await asyncio.sleep(task.get("rest", 0.0))
    await in_tasks(work, task["workers"], engine)
    await engine.dispose()


def _bare(url: URL, task: Task) -> Callable[[], object]:
    """The driver alone, without an engine."""
    plain, arguments = without_plugin(url.set(password=signed_token(task, url)))
    dialect = plain.get_dialect()
    driver = dialect.import_dbapi()
    positional, named = dialect().create_connect_args(plain)

    def connect() -> None:
        driver.connect(*positional, **named, **arguments).close()

    return connect


def _limiter(rate: int) -> Any:
    # Peers run this where the project is not installed.
    from sqlalchemy_rds_iam._ratelimit.limiter import RateLimiter

    return RateLimiter(rate)


def _words(error: Exception) -> str:
    """What tells one kind of failure from another, without what differs from one to the next."""
    text = str(error)
    kinds = (
        "PAM authentication failed",
        "Access denied",
        "Too many connections",
        "timeout expired",
        "no turn to connect",
        "Connection refused",
    )
    return next((kind for kind in kinds if kind in text), type(error).__name__)


if __name__ == "__main__":
    json.dump(main(json.load(sys.stdin)), sys.stdout)
