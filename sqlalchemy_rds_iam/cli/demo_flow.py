"""The steady flow of connects of ``rds-iam demo``, through a sync and an async engine."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import URL, create_engine, text
from sqlalchemy.pool import NullPool

from sqlalchemy_rds_iam.testing.emulator import RdsEmulator

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

DRIVER = "postgresql+psycopg"
"""One driver for both kinds of engines, so that little has to be installed."""

CONNECT_DEADLINE = 10
_DEADLINE = 60.0
_PAUSE = 0.02

Tell = Callable[[str], None]
"""Takes a few words on how far a step has come."""


def async_engine(url: URL) -> AsyncEngine:
    """An async engine without a pool; an ImportError without greenlet."""
    # It needs greenlet, whose absence is told first, in our words.
    from sqlalchemy.ext.asyncio import create_async_engine

    return create_async_engine(url, poolclass=NullPool)


class Flow:
    """Connects in steady flow through both engines, each with a login of its own."""

    def __init__(self, rds: RdsEmulator) -> None:
        self._rds = rds
        self._patient = rds.url(DRIVER, connect_timeout=str(CONNECT_DEADLINE))
        self._enough = threading.Event()
        self._connects = {"sync": 0, "async": 0}
        self._lost = {"sync": 0, "async": 0}
        self.first_error = ""

    def run_until(self, generations: int, tell: Tell) -> None:
        """Keep connecting until so many generations were used, or the time is up."""
        expires = time.monotonic() + _DEADLINE
        with ThreadPoolExecutor(2) as pool:
            ends = pool.submit(self._sync), pool.submit(asyncio.run, self._async())
            try:
                while (facts := self.facts())["generations"] < generations:
                    tell(
                        f"{facts['connects']} connects, generation {facts['generations']} of "
                        f"{generations}, {facts['lost']} lost"
                    )
                    if time.monotonic() > expires or any(end.done() for end in ends):
                        break
                    time.sleep(0.1)
            finally:
                self._enough.set()
            for end in ends:
                end.result(_DEADLINE)

    def facts(self) -> dict[str, int]:
        """The numbers so far, those of the database's records among them."""
        decisions = self._rds.decisions
        return {
            "connects": sum(self._connects.values()),
            **self._connects,
            "generations": len({each.access_key for each in decisions if each.granted}),
            "refused": sum(not each.granted for each in decisions),
            "lost": sum(self._lost.values()),
        }

    def _sync(self) -> None:
        engine = create_engine(self._patient, poolclass=NullPool)
        while not self._enough.wait(_PAUSE):
            with self._counted("sync"), engine.connect() as connection:
                connection.execute(text("SELECT 1"))

    async def _async(self) -> None:
        engine = async_engine(self._patient)
        while not self._enough.is_set():
            with self._counted("async"):
                async with engine.connect() as connection:
                    await connection.execute(text("SELECT 1"))
            await asyncio.sleep(_PAUSE)

    @contextmanager
    def _counted(self, kind: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001  (a lost connect, whatever lost it)
            self._lost[kind] += 1
            self.first_error = self.first_error or f"{type(error).__name__}: {error}"
        else:
            self._connects[kind] += 1
