"""A client process: ``python -m soak.client``, told on standard input what to do.

The first line is its task, as JSON; then ``fork N`` forks N children that connect through the
engines they inherit, and ``stop`` or the end of the input ends the process.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import logging
import os
import queue
import random
import sys
import threading
import time
import traceback
from pathlib import Path

from sqlalchemy import Engine, NullPool, make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from soak.cast import CAST
from soak.meter import HANG, Meter
from soak.workers import Workers, connect, connect_async

_LINK = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
_CHILD_CONNECTS = 3
_LONG_LIVED = 0.2
"""The share of children that live for longer than their credentials."""


class Forks:
    """The children of this process."""

    def __init__(self, workers: Workers, meter: Meter, directory: Path, life: float) -> None:
        self._workers = workers
        self._meter = meter
        self._directory = directory
        self._life = life
        self._children: dict[int, float] = {}

    def fork(self) -> None:
        """Fork a child that connects and exits."""
        # NullPool only: a pool's lock may be held by a thread that the child does not have, which
        # is why SQLAlchemy asks for dispose() in a child.
        usable = [engine for _, engine in self._workers.engines if _pool(engine) is NullPool]
        engine, long_lived = random.choice(usable), random.random() < _LONG_LIVED
        limit = HANG + (self._life if long_lived else 0)
        pid = os.fork()
        if pid == 0:
            faulthandler.dump_traceback_later(limit, exit=True)
            try:
                self._child(engine, self._life if long_lived else 0.0)
            except BaseException:  # noqa: BLE001  (nothing of the parent's may run in here)
                traceback.print_exc()
                os._exit(3)
            os._exit(0)
        self._children[pid] = time.time() + limit + HANG

    def reap(self) -> None:
        """Note the children that have ended, and end those that do not."""
        for pid, limit in list(self._children.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._children[pid]
                self._meter.note(kind="child", child=pid, status=os.waitstatus_to_exitcode(status))
            elif time.time() > limit:
                os.kill(pid, 9)

    def __len__(self) -> int:
        return len(self._children)

    def _child(self, engine: Engine | AsyncEngine, life: float) -> None:
        # So that the endpoint can tell its requests from ours.
        os.environ[_LINK] += f"?child={os.getpid()}"
        meter, end = Meter(self._directory), time.time() + life
        if isinstance(engine, AsyncEngine):
            asyncio.run(_connect_some(meter, engine, end))
            return
        for _ in _rounds(end):
            connect(meter, f"{engine.dialect.driver}-child", engine)
            time.sleep(0.5)


async def _connect_some(meter: Meter, engine: AsyncEngine, end: float) -> None:
    for _ in _rounds(end):
        await connect_async(meter, f"{engine.dialect.driver}-child-loop", engine)
        await asyncio.sleep(0.5)


def _rounds(end: float) -> list[None]:
    return [None] * max(_CHILD_CONNECTS, int((end - time.time()) / 0.5))


def _pool(engine: Engine | AsyncEngine) -> type:
    return type(engine.sync_engine.pool if isinstance(engine, AsyncEngine) else engine.pool)


def main() -> int:
    """Work until told to stop; 1 if something could not be ended."""
    faulthandler.enable()
    # They print a traceback for each fetch that fails, and ours are looked for.
    for library in ("botocore", "aiobotocore"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    task = json.loads(sys.stdin.readline())
    role = next(role for role in CAST if role.name == task["name"])
    directory = Path(task["directory"])
    meter = Meter(directory)
    workers = Workers(role.workers, make_url(task["url"]), meter, pause=role.pause)
    forks = Forks(workers, meter, directory, 1.5 * role.lives[1])
    orders: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(orders,), daemon=True).start()
    workers.start()
    sampled = 0.0
    while (order := _order(orders)) != "stop":
        for _ in range(int(order.removeprefix("fork ") or 0)):
            forks.fork()
        forks.reap()
        if time.time() - sampled >= 1:
            meter.sample()
            sampled = time.time()
    stuck = workers.stop(HANG)
    while len(forks):
        forks.reap()
        time.sleep(0.05)
    meter.sample()
    meter.close()
    if stuck:
        faulthandler.dump_traceback(all_threads=True)
    return len(stuck)


def _order(orders: queue.SimpleQueue[str]) -> str:
    try:
        return orders.get(timeout=0.1)
    except queue.Empty:
        return ""


def _read(orders: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        orders.put(line.strip())
    orders.put("stop")


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Not through the interpreter's end, which would wait for what is stuck.
    os._exit(code)
