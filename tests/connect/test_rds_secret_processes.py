"""Event loops, threads and forks: nothing is left behind, and nothing stands still."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from inside import Inside
from patience import Gate, eventually_async
from rds_secret_support import LogIn, secret_url
from soak.children import Child, held
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam import secret_plugin
from sqlalchemy_rds_iam.testing import RdsEmulator, Secret

# Python 3.12 and newer warn of every fork of a process with threads, which is what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

WAYS = ["botocore", pytest.param("aiobotocore", marks=pytest.mark.aiobotocore)]


@pytest.fixture(params=WAYS)
def url(request: pytest.FixtureRequest, rds: RdsEmulator, secret: Secret) -> URL:
    """The URL of an async engine that fetches in each of the ways."""
    return secret_url(rds, secret, "postgresql+asyncpg", rds_secret_credentials=request.param)


async def _connect(engine: Any) -> int:
    async with engine.connect() as connection:
        return int(await connection.scalar(text("select 1")))


def test_loops_that_are_gone_leave_nothing(url: URL, secret: Secret, calls: Any) -> None:
    """One loop after the other: each has its client, which goes with it; nothing stays open."""
    engine = create_async_engine(url, poolclass=NullPool)
    for number in range(4):
        assert asyncio.run(_connect(engine)) == 1
        Inside(engine.sync_engine).forget()
        assert calls() == number + 1
    gc.collect()
    [client] = secret_plugin._clients.values()
    assert len(client._by_loop) == 0


def test_secrets_share_a_client(url: URL, rds: RdsEmulator, calls: Any) -> None:
    """Several secrets of one identity are fetched at once through one client."""
    urls = [url]
    for number in range(3):
        rds.secrets.create(f"other-{number}", f"keeper{number}")
        urls.append(url.update_query_dict({"rds_secret_id": f"other-{number}"}))

    async def all_at_once() -> list[int]:
        engines = [create_async_engine(each, poolclass=NullPool) for each in urls]
        return await asyncio.gather(*map(_connect, engines))

    assert asyncio.run(all_at_once()) == [1] * 4
    assert calls() == 4
    assert len(secret_plugin._clients) <= 1


def test_the_loop_goes_on(url: URL, rds: RdsEmulator) -> None:
    """While Secrets Manager takes its time, other tasks of the loop are served."""
    engine = create_async_engine(url, poolclass=NullPool)

    async def both() -> None:
        work = asyncio.create_task(_connect(engine))
        await eventually_async(gate.reached.is_set)
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert not work.done()
        gate.open()
        assert await work == 1

    with Gate() as gate, pytest.MonkeyPatch.context() as patch:
        patch.setattr(rds.aws.secrets, "_hold_back", gate.wait)
        asyncio.run(both())


def _log_in(database: Database) -> str:
    """Connect in a process that has inherited `database`; the version that is in hand then."""
    database.connect_inherited()
    return str(database.inside.credentials.version_id)


def test_forks(log_in: LogIn, secret: Secret, calls: Callable[[], int]) -> None:
    """A child goes on with the secret it inherits, and fetches on its own when it is refused."""
    database = log_in(secret, {"rds_secret_ttl": "0"})
    first = _log_in(database)
    inherited = [Child(lambda: _log_in(database)) for _ in range(3)]
    assert {child.result() for child in inherited} == {first}
    assert calls() == 1
    secret.rotate()
    second = secret.stages["AWSCURRENT"]
    # As if time had passed since the secret was fetched.
    database.inside.age(60)
    children = [Child(lambda: _log_in(database)) for _ in range(3)]
    assert {child.result() for child in children} == {second}
    assert calls() == 4
    assert _log_in(database) == second


def test_fork_while_it_is_fetched(log_in: LogIn, secret: Secret) -> None:
    """Children that are forked while every lock is held, and a fetch under way, wait for none."""
    database = log_in(secret)
    tokens = database.inside.cache
    client = tokens.source._client
    with held(tokens._lock, client._lock, client._aws._lock):
        tokens._join(0.0, reload=False)
        children = [Child(lambda: _log_in(database)) for _ in range(3)]
        results = {child.result() for child in children}
    assert results == {secret.stages["AWSCURRENT"]}
    tokens._fetch = None


def test_no_connection_is_kept(rds: RdsEmulator, log_in: LogIn, secret: Secret) -> None:
    """After a fetch, nothing is open to Secrets Manager: the next one may be an hour away."""
    database = log_in(secret, {"rds_secret_credentials": "botocore"})
    database.scalar("select 1")
    port = urlsplit(rds.aws.secrets_url).port
    assert [each for each in gc.get_objects() if _leads_to(port, each)] == []


def _leads_to(port: int | None, each: object) -> bool:
    if type(each) is not socket.socket or each.fileno() < 0:
        return False
    try:
        return bool(each.getpeername()[1] == port)
    except (OSError, IndexError):
        return False
