"""Loops in threads, one after the other, of another make: one cache, and nothing bound to one."""

from __future__ import annotations

import asyncio
import functools
import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from families import BOTH, Words
from faults_support import LIFE, Clock, Provider
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from worlds import on

from sqlalchemy_rds_iam.testing import RdsEmulator

WAYS = ["botocore", pytest.param("aiobotocore", marks=pytest.mark.aiobotocore)]
LOOPS = 4


async def _connect(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text("select 1"))).scalar_one())


async def _connect_often(engine: AsyncEngine) -> list[int]:
    return await asyncio.gather(*(_connect(engine) for _ in range(3)))


def _run(make_loop: Callable[[], asyncio.AbstractEventLoop], work: Callable[[], Any]) -> Any:
    with asyncio.Runner(loop_factory=make_loop) as runner:
        return runner.run(work())


@pytest.fixture(params=["asyncio", "uvloop"])
def make_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    """Make event loops of one make or the other."""
    module: Any = asyncio
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
        module = importlib.import_module("uvloop")
    make: Callable[[], asyncio.AbstractEventLoop] = module.new_event_loop
    return make


@on("asyncpg", "psycopg-async", "asyncmy")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shared", [True, False], ids=["one-engine", "an-engine-each"])
def test_new_loops_again_and_again(
    rds: RdsEmulator,
    container: Provider,
    clock: Clock,
    make_loop: Callable[[], asyncio.AbstractEventLoop],
    world: tuple[str, bool],
    way: str,
    shared: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Engines made before any loop serve new loops in several threads, and fetch once for all."""
    if "asyncmy" in world[0] and "uvloop" in str(make_loop.__module__):
        pytest.skip("asyncmy leaves TLS to end by itself, for which a uvloop's end does not wait")
    monkeypatch.setattr(container.service, "lifetime", 3600.0)
    container.service.latency = 0.03
    url = rds.url(world[0], rds_iam_credentials=way)
    engines = [create_async_engine(url, poolclass=NullPool) for _ in range(LOOPS)]
    if shared:
        engines = engines[:1] * LOOPS
    for engine in engines:
        # What SQLAlchemy does on an engine's first connect waits on a lock that is bound to a loop.
        _run(make_loop, functools.partial(_connect, engine))
    clock.offset += 3600
    before = container.calls
    with ThreadPoolExecutor(LOOPS) as threads:
        for fetches in (1, 2, 3):
            works = [functools.partial(_connect_often, engine) for engine in engines]
            results = list(threads.map(functools.partial(_run, make_loop), works))
            assert results == [[1, 1, 1]] * LOOPS
            assert container.calls - before == fetches
            clock.offset += 3600


@pytest.mark.parametrize("way", WAYS)
@BOTH
def test_one_run_for_each_connect(
    rds: RdsEmulator,
    container: Provider,
    clock: Clock,
    way: str,
    caplog: pytest.LogCaptureFixture,
    words: Words,
) -> None:
    """asyncio.run() for every connect, with a renewal under way at the end of most, works on."""
    url = rds.url(words.asynchronous, rds_iam_credentials=way)
    engine = create_async_engine(url, poolclass=NullPool)
    for _ in range(12):
        assert asyncio.run(_connect(engine)) == 1
        clock.offset += LIFE / 3
    assert all(decision.granted for decision in rds.decisions)
    assert not [record for record in caplog.records if record.name == "asyncio"]


@pytest.mark.aiobotocore
@BOTH
async def test_a_session_its_owner_uses_too(
    rds: RdsEmulator, container: Provider, clock: Clock, words: Words
) -> None:
    """An aiobotocore session handed in may be used by its owner all the while, on the same loop."""
    from aiobotocore.session import AioSession

    session = AioSession()
    url = rds.url(words.asynchronous)
    engine = create_async_engine(url, rds_iam_session=session, poolclass=NullPool)
    container.service.latency = 0.005
    uses = 0
    # What is under way when the clock jumps would arrive expired.
    under_way = asyncio.Lock()

    async def use() -> None:
        nonlocal uses
        while True:
            async with under_way:
                credentials = await session.get_credentials()
                await asyncio.gather(*(credentials.get_frozen_credentials() for _ in range(3)))
            uses += 1
            await asyncio.sleep(0)

    owner = asyncio.create_task(use())
    for _ in range(6):
        assert await _connect(engine) == 1
        async with under_way:
            clock.offset += LIFE
    assert not owner.done()
    owner.cancel()
    assert uses


@pytest.mark.aiobotocore
@BOTH
def test_a_session_on_many_loops(
    rds: RdsEmulator, container: Provider, clock: Clock, words: Words
) -> None:
    """An aiobotocore session handed in serves engines on loops in many threads, one at a time."""
    from aiobotocore.session import AioSession

    session = AioSession()
    url = rds.url(words.asynchronous)
    container.service.latency = 0.01
    engines = [
        create_async_engine(url, rds_iam_session=session, poolclass=NullPool) for _ in range(LOOPS)
    ]
    works = [functools.partial(_connect_often, engine) for engine in engines]
    with ThreadPoolExecutor(LOOPS) as threads:
        for _ in range(4):
            results = list(threads.map(functools.partial(_run, asyncio.new_event_loop), works))
            assert results == [[1, 1, 1]] * LOOPS
            clock.offset += LIFE
