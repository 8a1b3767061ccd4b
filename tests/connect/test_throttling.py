"""Turns and throttling through real engines: storms lose nothing, refusals that are none are."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from inside import Inside
from patience import eventually_async
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from worlds import WORLDS, Database, worlds

from sqlalchemy_rds_iam import WaitTimeout
from sqlalchemy_rds_iam.testing import RdsEmulator

pytestmark = pytest.mark.timing

Connect = Callable[..., Database]


@pytest.fixture(params=worlds(("asyncpg", "pymysql")))
def world(request: pytest.FixtureRequest) -> tuple[str, bool]:
    """A loop and threads, one of each family, as every test takes seconds.

    Turns are taken before a driver is called; how each says that it was throttled is with all of
    them in test_congestion.py.
    """
    return WORLDS[request.param]


@pytest.fixture
def ceiling(rds: RdsEmulator) -> Iterator[Callable[[float | None], None]]:
    """Set how many logins a second the emulated IAM admits."""

    def set_to(rate: float | None) -> None:
        rds.gateway.ceiling = rate

    yield set_to
    rds.gateway.ceiling = None


def _reasons(rds: RdsEmulator) -> set[str | None]:
    return {decision.reason for decision in rds.decisions if not decision.granted}


def test_a_storm_below_the_ceiling(connect: Connect, rds: RdsEmulator, ceiling: Any) -> None:
    """More than the ceiling takes in a second, at once: all are let in, and none is throttled."""
    ceiling(40)
    database = connect(options={"rds_iam_connect_rate": "20"}, poolclass=NullPool)
    began = time.monotonic()
    assert database.storm(50) == [1] * 50
    assert _reasons(rds) == set()
    assert time.monotonic() - began > 1  # or nothing has been held back


def test_a_ceiling_below_the_rate(connect: Connect, rds: RdsEmulator, ceiling: Any) -> None:
    """Where the ceiling is lower than was thought, logins are throttled, and none is lost."""
    ceiling(6)
    database = connect(options={"rds_iam_timeout": "60"}, poolclass=NullPool)
    assert database.scalar("select 1") == 1  # now this user is known to be let in
    assert database.storm(25) == [1] * 25
    assert _reasons(rds) == {"ThrottlingException"}
    limiter = database.inside.limiter
    assert limiter.cuts >= 1


def test_no_login_accepted_yet(connect: Connect, rds: RdsEmulator, ceiling: Any) -> None:
    """A user who has never been let in is told so soon, after a few more tries."""
    ceiling(100)
    rds.key.principal.db_users = frozenset({"another"})
    try:
        database = connect(options={"rds_iam_timeout": "1"}, poolclass=NullPool)
        database.raises(Exception)
    finally:
        rds.key.principal.db_users = None
    assert 2 <= len(rds.decisions) <= 4


def test_a_permission_that_was_taken_away(connect: Connect, rds: RdsEmulator, ceiling: Any) -> None:
    """It is taken for throttling until rds_iam_timeout has passed, and then no longer."""
    ceiling(100)
    database = connect(options={"rds_iam_timeout": "3"}, poolclass=NullPool)
    assert database.scalar("select 1") == 1
    rds.key.principal.db_users = frozenset({"another"})
    try:
        database.raises(Exception)
        tried = len(rds.decisions)
        assert tried > 2
        database.raises(Exception)
        assert len(rds.decisions) <= tried + 2
    finally:
        rds.key.principal.db_users = None
    assert database.scalar("select 1") == 1


def test_switched_off(connect: Connect, rds: RdsEmulator, ceiling: Any) -> None:
    """With rds_iam_throttle_retry=off a throttled login is an error like any other."""
    ceiling(1)
    database = connect(options={"rds_iam_throttle_retry": "off"}, poolclass=NullPool)
    assert database.scalar("select 1") == 1
    error = database.raises(Exception)
    assert database.words.refused in str(error)
    assert rds.decisions[-1].reason == "ThrottlingException"


def test_no_turn_in_time(connect: Connect, ceiling: Any) -> None:
    """Who cannot have a turn in time is told at once how many wait, and what to do."""
    ceiling(None)
    options = {"rds_iam_connect_rate": "2", "rds_iam_timeout": "1.2"}
    database = connect(options=options, poolclass=NullPool)
    results = database.storm(8)
    errors = [result for result in results if isinstance(result, WaitTimeout)]
    assert results.count(1) == 8 - len(errors) >= 2
    assert errors
    for word in ("connects come before this one", "rds_iam_connect_rate=2", "RDS Proxy"):
        assert word in str(errors[0])


def test_no_turn_as_the_loop_stands_still(
    connect: Connect, ceiling: Any, world: tuple[str, bool]
) -> None:
    """A task that waits while something holds up the loop is told that, and not of a long queue."""
    if not world[1]:
        pytest.skip("threads do not hold each other up")
    ceiling(None)
    options = {"rds_iam_connect_rate": "1", "rds_iam_timeout": "4"}
    database = connect(options=options, poolclass=NullPool)
    runtime, waiting = database.inside.runtime, set()
    sleep = runtime.sleep
    runtime.sleep = lambda seconds: (waiting.add(asyncio.current_task()), sleep(seconds))

    async def all_at_once() -> list[Any]:
        async def one() -> Any:
            async with database._async_engine.connect() as connection:
                return await connection.scalar(text("select 1"))

        # One goes ahead, and the two others have turns within the time that they have.
        tasks = [asyncio.create_task(one()) for _ in range(3)]
        while len(waiting) < 2:
            await asyncio.sleep(0.001)
        time.sleep(8)  # noqa: ASYNC251  (as careless code does)
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert database._runner is not None
    results = database._runner.run(asyncio.wait_for(all_at_once(), 60))
    errors = [str(result) for result in results if isinstance(result, WaitTimeout)]
    assert errors
    assert [error for error in errors if "holds up the event loop" not in error] == []
    assert not any("connects come before" in error for error in errors)


def test_no_limit(connect: Connect, rds: RdsEmulator) -> None:
    """rds_iam_connect_rate=0 holds up no connect."""
    database = connect(options={"rds_iam_connect_rate": "0"}, poolclass=NullPool)
    assert database.storm(10) == [1] * 10
    assert database.inside.limiter is None


def test_engines_of_one_endpoint_share_the_rate(rds: RdsEmulator, databases: Connect) -> None:
    """Engines with the same rate take turns with one another, other rates and users apart."""
    urls = [rds.url(rds_iam_connect_rate=rate) for rate in ("50", "50", "60")]
    paces = [databases(url).inside.plans[-1].limiter for url in urls]
    assert paces[0] is paces[1]
    assert paces[0] is not paces[2]


async def test_cancelled_in_the_queue(rds: RdsEmulator) -> None:
    """A connect that is cancelled while it waits leaves the queue, and gives its pool slot back."""
    url = rds.url("postgresql+asyncpg", rds_iam_connect_rate="5", rds_iam_timeout="60")
    engine = create_async_engine(url, pool_size=3, max_overflow=0)
    async with engine.connect():
        limiter = Inside(engine.sync_engine).limiter
        limiter._permits = -100.0  # a queue of minutes
        tasks = [asyncio.create_task(engine.connect().start()) for _ in range(2)]
        await eventually_async(lambda: limiter._issued >= 2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert limiter._gone == limiter._issued == 2
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    await engine.dispose()


def test_waiting_leaves_the_loop_alone(rds: RdsEmulator) -> None:
    """Tasks that wait for their turn do not keep the loop from anything else."""
    url = rds.url("postgresql+asyncpg", rds_iam_connect_rate="4")

    async def main() -> int:
        engine = create_async_engine(url, poolclass=NullPool)

        async def one() -> None:
            async with engine.connect():
                pass

        tasks = [asyncio.create_task(one()) for _ in range(4)]
        beats = 0
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0.001)
            beats += 1
        return beats

    assert asyncio.run(main()) > 20


def test_a_token_that_went_stale_in_the_queue(
    rds: RdsEmulator, databases: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has waited for a turn uses the token of then, not the one it came with."""
    database = databases(rds.url(rds_iam_connect_rate="2"), poolclass=NullPool)
    assert database.scalar("select 1") == 1
    entry, limiter = database.inside.entry, database.inside.limiter
    limiter._permits, limiter._filled_at = -2.0, time.monotonic()
    old = entry.token
    sleep, woken = database.inside.runtime.sleep, threading.Event()

    def expire_meanwhile(seconds: float) -> None:
        sleep(seconds)
        old.fresh_until = 0.0
        entry.token = None
        woken.set()

    monkeypatch.setattr(database.inside.runtime, "sleep", expire_meanwhile)
    assert database.scalar("select 1") == 1
    assert woken.is_set()
    assert entry.token is not old
    assert entry.token.accepted
