"""One fresh process of ``loop_stall.py``: connect, and note when the event loop stood still.

Reads a `Task` as JSON from standard input and writes the windows it measured to standard output.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, Self

from sqlalchemy import URL, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from benchmarks.lib.drivers import DRIVERS

TICK = 0.001
SETTLE = 0.3
WARM_CONNECTS = 10


class Stillness:
    """The longest time between two ticks of a loop that wants to tick every millisecond."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        self._longest = self._longest_busy = 0.0
        self._last = time.perf_counter(), time.process_time()
        self._handle = self._loop.call_later(TICK, self._tick)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.cancel()
        self._note()

    def result(self) -> dict[str, float]:
        """The gap, and how much of it this process has been computing; the rest is waiting.

        Waiting means a blocking call, or a machine that was busy with something else.
        """
        return {"gap_ms": self._longest * 1e3, "busy_ms": self._longest_busy * 1e3}

    def _tick(self) -> None:
        self._note()
        self._handle = self._loop.call_later(TICK, self._tick)

    def _note(self) -> None:
        now = time.perf_counter(), time.process_time()
        if (gap := now[0] - self._last[0]) > self._longest:
            self._longest, self._longest_busy = gap, now[1] - self._last[1]
        self._last = now


async def probe(task: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Measure every window that `task` asks for."""
    url = make_url(task["url"])
    # Imports the dialect and the driver, which an application has done long before.
    create_async_engine(url.set(query={}))
    started = time.perf_counter()
    engine = ENGINES[task["way"]](url, task)
    windows = {"create": {"wall_ms": (time.perf_counter() - started) * 1e3}}

    with Stillness() as still:
        await asyncio.sleep(SETTLE)
    windows["idle"] = still.result()

    with Stillness() as still:
        longest = await _connect(engine)
    windows["first"] = still.result() | {"longest_connect_ms": longest}
    fetched = time.perf_counter()
    lifetime = task["lifetime"]

    if "warm" in task["windows"]:
        with Stillness() as still:
            longest = max([await _connect(engine) for _ in range(WARM_CONNECTS)])
        windows["warm"] = still.result() | {"longest_connect_ms": longest}

    if "renewal" in task["windows"]:
        # From just before two thirds of their life, when they count as stale, to well after.
        stale = fetched + lifetime * 2 / 3
        await asyncio.sleep(stale - SETTLE - time.perf_counter())
        times: list[float] = []
        with Stillness() as still:
            while not times or time.perf_counter() < stale + task["latency"] + SETTLE:
                times.append(await _connect(engine))
                await asyncio.sleep(0.02)
        windows["renewal"] = still.result() | {"longest_connect_ms": max(times)}

    if "expired" in task["windows"]:
        await asyncio.sleep(fetched + lifetime - time.perf_counter())
        with Stillness() as still:
            longest = await _connect(engine)
        windows["expired"] = still.result() | {"longest_connect_ms": longest}

    await engine.dispose()
    return windows


async def _connect(engine: AsyncEngine) -> float:
    started = time.perf_counter()
    async with engine.connect():
        return (time.perf_counter() - started) * 1e3


def _plugin(credentials: str) -> Any:
    def build(url: URL, task: dict[str, Any]) -> AsyncEngine:
        options = {"rds_iam_credentials": credentials, "rds_iam_profile": task["profile"]}
        return create_async_engine(url.update_query_dict(options), poolclass=NullPool)

    return build


def _without_aws(url: URL, task: dict[str, Any]) -> AsyncEngine:
    """A token that is there already: all that is left is the driver and its TLS."""
    engine = _without_plugin(url)

    @event.listens_for(engine.sync_engine, "do_connect")
    def _provide(_dialect: Any, _record: Any, _cargs: Any, cparams: dict[str, Any]) -> None:
        cparams["password"] = task["token"]

    return engine


def _recipe(url: URL, task: dict[str, Any]) -> AsyncEngine:
    """generate_db_auth_token() in a do_connect listener; the client is made beforehand."""
    import botocore.session  # the other ways are to find it not yet imported

    engine = _without_plugin(url)
    client = botocore.session.Session(profile=task["profile"]).create_client("rds")
    signed = task["endpoint"]

    @event.listens_for(engine.sync_engine, "do_connect")
    def _provide(_dialect: Any, _record: Any, _cargs: Any, cparams: dict[str, Any]) -> None:
        cparams["password"] = client.generate_db_auth_token(
            signed["host"], signed["port"], cparams["user"]
        )

    return engine


def _without_plugin(url: URL) -> AsyncEngine:
    arguments = DRIVERS[url.get_driver_name()].tls(str(url.query["rds_iam_ca"]))
    return create_async_engine(url.set(query={}), connect_args=arguments, poolclass=NullPool)


ENGINES = {
    "no-aws": _without_aws,
    "plugin-aiobotocore": _plugin("aiobotocore"),
    "plugin-botocore": _plugin("botocore"),
    "boto3-recipe": _recipe,
}


if __name__ == "__main__":
    json.dump(asyncio.run(probe(json.load(sys.stdin))), sys.stdout)
