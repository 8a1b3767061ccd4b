"""Cancelled, interrupted, out of time: each waiter gets an answer, and the pool its slot back."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
import time
from typing import Any

import pytest
from families import BOTH, Words
from faults_support import LIFE, Clock, Provider
from patience import DEADLINE, SOON, Gate, eventually_async, fetches_end
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool, QueuePool

from sqlalchemy_rds_iam._aws.credentials import AwsSource
from sqlalchemy_rds_iam._connecting import acquire
from sqlalchemy_rds_iam._connecting.runtime import ThreadRuntime
from sqlalchemy_rds_iam.testing import RdsEmulator

WAYS = ["botocore", pytest.param("aiobotocore", marks=pytest.mark.aiobotocore)]


@pytest.fixture
def slow(container: Provider, monkeypatch: pytest.MonkeyPatch) -> Provider:
    """A container endpoint that takes its time, for credentials that last."""
    monkeypatch.setattr(container.service, "lifetime", 3600.0)
    container.service.latency = 0.1
    return container


def _checked_out(engine: AsyncEngine) -> int:
    assert isinstance(engine.pool, QueuePool)
    return engine.pool.checkedout()


async def _connect(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text("select 1"))).scalar_one())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("given_up", ["cancel", "timeout", "task_group"])
@BOTH
async def test_a_leader_that_is_given_up(
    rds: RdsEmulator, slow: Provider, way: str, given_up: str, words: Words
) -> None:
    """The fetch a cancelled task has begun serves the others, and no slot of the pool is lost."""
    engine = create_async_engine(rds.url(words.asynchronous, rds_iam_credentials=way))
    before = slow.calls
    asked = asyncio.Event()

    async def cancelled() -> None:
        connecting = asyncio.create_task(_connect(engine))
        await asked.wait()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting

    async def timed_out() -> None:
        async def expire(deadline: asyncio.Timeout) -> None:
            await asked.wait()
            deadline.reschedule(asyncio.get_running_loop().time())

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as deadline:
                expiring = asyncio.create_task(expire(deadline))
                await _connect(engine)
        await expiring

    async def in_failing_group() -> None:
        async def fail() -> None:
            await asked.wait()
            raise OSError

        with contextlib.suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(_connect(engine))
                group.create_task(fail())

    ways = {"cancel": cancelled, "timeout": timed_out, "task_group": in_failing_group}
    with slow.held() as gate:
        leader = asyncio.create_task(ways[given_up]())
        await eventually_async(gate.reached.is_set)
        others = [asyncio.create_task(_connect(engine)) for _ in range(3)]
        await asyncio.sleep(0)
        asked.set()
        await leader
        assert not any(task.done() for task in others)
    assert await asyncio.gather(*others) == [1, 1, 1]
    assert slow.calls - before == 1
    assert _checked_out(engine) == 0
    await engine.dispose()


@pytest.mark.parametrize("way", WAYS)
@BOTH
def test_a_loop_that_ends_in_mid_fetch(
    rds: RdsEmulator, slow: Provider, way: str, words: Words
) -> None:
    """When asyncio.run() ends, a fetch on its loop is cut short, and a waiter leads anew."""
    url = rds.url(words.asynchronous, rds_iam_credentials=way)
    engine = create_async_engine(url, poolclass=NullPool)

    async def give_up(gate: Gate) -> None:
        connecting = asyncio.create_task(_connect(engine))
        await eventually_async(gate.reached.is_set)
        waiter.start()
        await asyncio.sleep(0.02)
        assert not connecting.done()

    waiter = Waiter(rds)
    with slow.held() as gate:
        asyncio.run(give_up(gate))
    assert waiter.result() == 1
    assert asyncio.run(_connect(engine)) == 1


class Waiter:
    """A thread with an engine of its own that connects once."""

    def __init__(self, rds: RdsEmulator) -> None:
        self._engine = create_engine(rds.url(), poolclass=NullPool)
        self._results: list[Any] = []
        self._thread = threading.Thread(target=self._run)
        self.start = self._thread.start

    def _run(self) -> None:
        try:
            with self._engine.connect() as connection:
                self._results.append(connection.execute(text("select 1")).scalar())
        except Exception as error:  # noqa: BLE001
            self._results.append(error)

    def result(self) -> Any:
        """What has come of it."""
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        return self._results[0]


@pytest.mark.aiobotocore
@pytest.mark.parametrize("closed", [False, True])
@BOTH
def test_a_loop_that_stands_still(
    rds: RdsEmulator, slow: Provider, closed: bool, monkeypatch: pytest.MonkeyPatch, words: Words
) -> None:
    """A thread that waits for a fetch on a loop that has stopped running leads it in its place."""
    monkeypatch.setattr(acquire, "_TURN", 0.02)
    url = rds.url(words.asynchronous, rds_iam_credentials="aiobotocore")
    engine = create_async_engine(url, poolclass=NullPool)
    loop = asyncio.new_event_loop()
    task = loop.create_task(_connect(engine))
    waiter = Waiter(rds)
    with slow.held() as gate:
        loop.run_until_complete(eventually_async(gate.reached.is_set))
        waiter.start()
    before = time.monotonic()
    assert waiter.result() == 1
    assert time.monotonic() - before < SOON
    # Back on its feet, the loop's own task finds what the other one has fetched.
    assert loop.run_until_complete(task) == 1
    loop.run_until_complete(engine.dispose())
    loop.close()


@pytest.mark.parametrize("way", WAYS)
@BOTH
def test_an_end_during_a_renewal(
    rds: RdsEmulator,
    container: Provider,
    clock: Clock,
    way: str,
    caplog: pytest.LogCaptureFixture,
    words: Words,
) -> None:
    """asyncio.run() ends at once while a renewal is under way in the background, and in silence."""
    url = rds.url(words.asynchronous, rds_iam_credentials=way)
    engine = create_async_engine(url, poolclass=NullPool)
    assert asyncio.run(_connect(engine)) == 1
    gc.collect()  # what other tests have left behind
    caplog.clear()
    clock.offset += LIFE * 2 / 3 + 1
    with container.held():
        # No caller waits for the answer.
        assert asyncio.run(_connect(engine), debug=True) == 1
        gc.collect()
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert asyncio.run(_connect(engine)) == 1
    fetches_end()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@BOTH
def test_an_interrupted_leader(
    rds: RdsEmulator,
    slow: Provider,
    kind: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Control-C in the thread that leads goes through, and a waiting thread leads anew."""
    before = slow.calls
    joined = threading.Event()
    fetch, join = AwsSource.fetch, ThreadRuntime.join

    def interrupted(source: AwsSource, *, reload: bool) -> Any:
        monkeypatch.setattr(AwsSource, "fetch", fetch)
        waiter.start()
        assert joined.wait(DEADLINE)
        raise kind

    def join_and_tell(*args: Any) -> None:
        joined.set()
        join(*args)

    monkeypatch.setattr(AwsSource, "fetch", interrupted)
    monkeypatch.setattr(ThreadRuntime, "join", join_and_tell)
    waiter = Waiter(rds)
    lazy = create_engine(rds.url(rds_iam_refresh="lazy"))
    with pytest.raises(kind):
        lazy.connect()
    assert isinstance(lazy.pool, QueuePool)
    assert lazy.pool.checkedout() == 0
    assert waiter.result() == 1
    with lazy.connect() as connection:
        assert connection.execute(text("select 1")).scalar() == 1
    lazy.dispose()
    assert slow.calls - before == 1
