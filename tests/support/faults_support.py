"""Support for the fault tests: one clock for all, endpoints that fail, fetches that end.

The fixtures made of these are in `faults_fixtures`.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from patience import Gate, eventually_async, fetches_end
from worlds import Database

from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.aws.service import AwsError, Service

LIFE = 500.0
"""Seconds that credentials live; botocore renews them whenever it is asked, as it is under 600."""

FAULTS = ("reset", "500", "503", "garbage", "hang", "refused", "tls")


class Way(NamedTuple):
    """An engine's world, and who fetches for it."""

    drivername: str
    is_async: bool
    credentials: str


AWS_WAYS = [
    "sync",
    "async-botocore",
    pytest.param("async-aiobotocore", marks=pytest.mark.aiobotocore),
]
"""Who fetches, and from where: whose database the token is for makes no difference to that."""

OF_BOTH_FAMILIES = pytest.mark.parametrize(
    "way", [*AWS_WAYS, "mysql", "mysql-async"], indirect=True
)
"""For what servers refuse, which each family says in its own words."""


class Clock:
    """The real time, `offset` seconds away."""

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        """Epoch seconds."""
        return time.time() + self.offset


class Provider:
    """Where credentials come from in a test: botocore's name for it, and the service behind it."""

    def __init__(self, rds: RdsEmulator, name: str, service: Service, variable: str) -> None:
        self.name = name
        self.service: Any = service
        self.role = rds.identities.role("task")
        self.variable = variable
        self._rds = rds
        self._port = int(service.url.rpartition(":")[2])

    @property
    def calls(self) -> int:
        """How many requests have arrived."""
        return len(self.service.records)

    def fail(self, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make the service fail in one of the `FAULTS`."""
        if fault == "refused":
            self._rds._call(self._close())
        elif fault == "tls":
            url = self.url.replace("http://", "https://")
            monkeypatch.setenv(self.variable, url)
        else:
            error = AwsError(int(fault), "Fault", "out of order") if fault.isdigit() else fault
            self.service.fail(error)

    @contextlib.contextmanager
    def held(self, times: float = math.inf) -> Iterator[Gate]:
        """Hold so many answers back until the gate is opened, or the block left."""
        left = times

        async def hold_back() -> None:
            nonlocal left
            left -= 1
            if left >= 0:
                await gate.wait()

        with Gate() as gate, pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.service, "_hold_back", hold_back)
            yield gate

    def recover(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Answer again, at the same address."""
        self.service.recover()
        self.service.latency = 0.0
        monkeypatch.setenv(self.variable, self.url)
        if not self.service._runner.sites:
            self._rds._call(web.TCPSite(self.service._runner, "127.0.0.1", self._port).start())

    @property
    def url(self) -> str:
        """What the provider's variable holds while all is well."""
        return str(self.service.url + getattr(self.service, "path", ""))

    async def _close(self) -> None:
        for site in list(self.service._runner.sites):
            await site.stop()
        for connection in self.service._runner.server.connections:
            connection.force_close()


def settle(database: Database) -> None:
    """Let what is fetched in the background come to its end, whatever that is.

    Its thread or task has ended, too: what comes of a fetch is noted before it is reported.
    """
    if database._runner is not None:
        tasks = database.inside.runtime._tasks
        database._runner.run(eventually_async(lambda: not tasks, "a fetch that does not end"))
    fetches_end()
