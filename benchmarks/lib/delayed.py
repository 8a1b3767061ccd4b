"""The emulator at some distance: engines of one driver that reach it through the delay proxy."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import greenlet_spawn

from benchmarks.lib import emulated, ways
from benchmarks.lib.delay_proxy import DelayProxy

ASYNC = {"psycopg_async", "asyncpg", "asyncmy", "aiomysql"}


class Site:
    """The emulator behind the proxy, for one driver."""

    def __init__(
        self, driver: str, rds: emulated.Emulator, proxy: DelayProxy, runner: asyncio.Runner
    ) -> None:
        self.driver, self.rds, self.proxy = driver, rds, proxy
        self.is_async = driver in ASYNC
        self._runner = runner
        signed = {"rds_iam_port": str(rds.signed["port"])}
        self.url = rds.urls[driver].set(port=proxy.port).update_query_dict(signed)

    def plugin(self, **arguments: Any) -> Engine:
        """An engine with the plugin, and more arguments of ``create_engine()``."""
        create: Callable[..., Engine | AsyncEngine]
        create = create_async_engine if self.is_async else create_engine
        return _sync(create(self.url, **arguments))

    def static(self) -> Engine:
        """An engine without the plugin that keeps no connection."""
        task = {"signed": self.rds.signed}
        return _sync(ways.static(self.url, task, is_async=self.is_async))

    def run(self, work: Callable[[], Any]) -> Any:
        """Do it in the driver's world."""
        return self._runner.run(greenlet_spawn(work)) if self.is_async else work()


@contextmanager
def site(driver: str, rds: emulated.Emulator, runner: asyncio.Runner) -> Iterator[Site]:
    """The emulator behind a proxy of its own, and an environment of AWS that is the emulator's."""
    rds.start_over(None)
    for name in [name for name in os.environ if name.startswith(("AWS_", "PG"))]:
        del os.environ[name]
    os.environ |= rds.environ
    url = rds.urls[driver]
    assert url.host is not None
    assert url.port is not None
    with DelayProxy(url.host, url.port) as proxy:
        yield Site(driver, rds, proxy, runner)


def _sync(engine: Engine | AsyncEngine) -> Engine:
    return engine.sync_engine if isinstance(engine, AsyncEngine) else engine
