"""One prober for all that wait: the others do not log in, and one that is lost is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from failover_support import LATE, aside, follow, looks, rows, search_of, write
from families import Words
from patience import DEADLINE, eventually
from soak.children import Child
from sqlalchemy.pool import NullPool
from worlds import POSTGRESQL, Database, on

from sqlalchemy_rds_iam import Event
from sqlalchemy_rds_iam._failover import server_search
from sqlalchemy_rds_iam._failover.server_search import ServerSearch
from sqlalchemy_rds_iam.testing import ClusterMember, RdsCluster

MakeWriter = Callable[..., Database]
WAITERS = 12


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The connects that have asked whether they may go."""
    seen: list[Any] = []
    usual = ServerSearch.may_go

    def note(search: ServerSearch, connect: object, found: int, now: float) -> bool:
        seen.append(connect)  # and kept, so that no two of them have one id
        ids.add(id(connect))
        return usual(search, connect, found, now)

    ids: set[int] = set()
    monkeypatch.setattr(ServerSearch, "may_go", note)
    return ids


def probe_hangs(cluster: RdsCluster, old: ClusterMember) -> None:
    """Cut the old server off, and wait until a probe hangs there."""
    traffic = cluster.names.cluster.traffic
    cluster.partition(old)
    connects = traffic.connects
    eventually(lambda: traffic.connects > connects, "no probe")


@on(*POSTGRESQL, "pymysql")
@pytest.mark.parametrize("kill", ["restart", False], ids=["restarted", "read-only"])
def test_waiters_do_not_log_in(
    cluster: RdsCluster,
    writer: MakeWriter,
    databases: Callable[..., Database],
    waiting: set[int],
    monkeypatch: pytest.MonkeyPatch,
    kill: Any,
) -> None:
    """Two engines have one prober: those that come during its search log in when it has ended."""
    monkeypatch.setattr(server_search, "INTERVAL", LATE)
    database = writer(pool_size=WAITERS)
    # Another driver of the same family, at the same address.
    url = database.engine.url.set(drivername=cluster.writer_url().drivername)
    first = databases(url, poolclass=NullPool, rds_iam_target_session_attrs="read-write")
    old = cluster.writer
    cluster.failover(lag=LATE, kill=kill)
    cluster.clear()
    with aside(lambda: first.scalar("select 1")) as one:
        looks(first)
        assert len(old.decisions) == 1
        with aside(lambda: database.storm(WAITERS)) as others:
            eventually(lambda: len(waiting) == WAITERS + 1, "they do not wait")
            assert len(old.decisions) == 1
            assert search_of(first) is search_of(database)
            follow(cluster)
            search_of(first)._next_at = 0.0
    assert [one.result(), *others.result()] == [1] * (WAITERS + 1)
    assert len(old.decisions) == 1
    assert len(cluster.writer.decisions) == WAITERS + 1


@on(*POSTGRESQL, "pymysql")
def test_a_slow_connect_does_not_begin_a_search(
    cluster: RdsCluster, writer: MakeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was begun before the server was found, and fails after that, begins no other one."""
    monkeypatch.setattr(server_search, "LEASE", 0.2)
    events: list[Event] = []
    slow = writer(poolclass=NullPool, rds_iam_on_event=events.append)
    other = writer(poolclass=NullPool)
    slow.scalar("select 1")
    other.scalar("select 1")
    old = cluster.writer
    cluster.failover(lag=LATE, kill=False)
    with aside(lambda: slow.scalar("select 1")) as reading:
        looks(slow)
        searched = search_of(slow)
        probe_hangs(cluster, old)
        # Meanwhile another connect finds the new server.
        follow(cluster)
        assert other.scalar("select 1") == 1
        assert searched.found == 1
        cluster.heal()
    assert reading.result() == 1
    kinds = [event.kind for event in events if event.kind.startswith("failover")]
    assert kinds == ["failover_begun"]  # that of the other engine ended it
    assert searched.found == 1


@on(*POSTGRESQL, "pymysql")
def test_a_prober_that_is_lost(
    cluster: RdsCluster, writer: MakeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that hangs is replaced when its lease has ended."""
    monkeypatch.setattr(server_search, "LEASE", 0.2)
    hangs, database = writer(poolclass=NullPool), writer(poolclass=NullPool)
    old = cluster.writer
    cluster.failover(lag=LATE, kill="restart")
    with aside(lambda: hangs.scalar("select 1")) as reading:
        looks(hangs)
        probe_hangs(cluster, old)
        follow(cluster)
        write(database)
        assert not reading.done()
        cluster.heal()
    assert reading.result() == 1
    assert rows(cluster) == {1}


@on("psycopg-async", "asyncpg", "asyncmy")
def test_a_prober_that_is_cancelled(
    cluster: RdsCluster, writer: MakeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one goes at once, and does not wait for its lease."""
    monkeypatch.setattr(server_search, "LEASE", LATE)
    database = writer(poolclass=NullPool)
    old = cluster.writer
    cluster.failover(lag=LATE, kill="restart")

    async def connect() -> None:
        async with database._async_engine.connect():
            pass

    async def cancel() -> None:
        prober = asyncio.create_task(connect())
        await asyncio.to_thread(looks, database)
        await asyncio.to_thread(probe_hangs, cluster, old)
        assert search_of(database)._prober is not None
        other = asyncio.create_task(connect())
        await asyncio.to_thread(follow, cluster)
        await asyncio.sleep(0.05)
        assert not other.done()
        prober.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await prober
        async with asyncio.timeout(DEADLINE):
            await other

    assert database._runner is not None
    database._runner.run(cancel())


@on(*POSTGRESQL, "pymysql")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_prober_that_is_forked_away(
    cluster: RdsCluster, writer: MakeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child forked while a thread probes finds the server itself."""
    monkeypatch.setattr(server_search, "LEASE", LATE)
    database = writer(poolclass=NullPool)
    old = cluster.writer
    cluster.failover(lag=LATE, kill="restart")
    with aside(lambda: database.scalar("select 1")) as reading:
        looks(database)
        probe_hangs(cluster, old)
        follow(cluster)
        child = Child(lambda: database.connect_inherited() or os.getpid())
        assert child.result() != os.getpid()
        assert not reading.done()
        cluster.heal()
    assert reading.result() == 1


@on(*POSTGRESQL, "pymysql")
def test_events_are_told_without_a_lock(cluster: RdsCluster, writer: MakeWriter) -> None:
    """A hook may connect itself, and waits for nothing of ours."""
    held: list[str] = []

    def look(event: Event) -> None:
        if event.kind.startswith("failover"):
            [search] = database.inside.listener._failover._searches.values()

            def take() -> None:
                if not search._lock.acquire(timeout=DEADLINE):
                    held.append(event.kind)
                else:
                    search._lock.release()

            thread = threading.Thread(target=take)
            thread.start()
            thread.join()
            kinds.append(event.kind)

    kinds: list[str] = []
    database = writer(poolclass=NullPool, rds_iam_on_event=look)
    cluster.failover(lag=LATE, kill=False)
    with aside(lambda: database.scalar("select 1")) as reading:
        looks(database)
        follow(cluster)
    assert reading.result() == 1
    assert kinds == ["failover_begun", "failover_ended"]
    assert held == []


@on(*POSTGRESQL, "pymysql")
@pytest.mark.parametrize("kill", [True, False], ids=["killed", "read-only"])
def test_no_writer_within_the_limit(
    cluster: RdsCluster,
    writer: MakeWriter,
    words: Words,
    caplog: pytest.LogCaptureFixture,
    kill: Any,
) -> None:
    """A clear error says what was reached, what was wanted and for how long; also to waiters."""
    database = writer(poolclass=NullPool, rds_iam_failover_timeout=0.3)
    cluster.failover(lag=LATE, kill=kill)
    errors = database.storm(3)
    limit = "no read-write server was found there within 0.3 s (rds_iam_failover_timeout)"
    for error in errors:
        said = "\n".join([str(error), *getattr(error, "__notes__", [])])
        assert limit in said, said
        if not kill:
            assert isinstance(error, TimeoutError)
            assert f"is {words.was_writer}, and rds_iam_target_session_attrs=" in said
    assert [r.levelname for r in caplog.records if "no read-write server at" in r.message] == [
        "WARNING"
    ]
