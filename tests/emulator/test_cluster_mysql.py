"""A cluster of MySQL: its members replicate, change roles, and are found by names that follow."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Literal

import pytest
from patience import DEADLINE, eventually
from sqlalchemy import URL, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from sqlalchemy_rds_iam.testing import ClusterEndpoint, RdsCluster

pytest.importorskip("pymysql", reason="PyMySQL is not installed")
Kind = bool | Literal["restart"]

_FAR = 3600.0


@pytest.fixture
def cluster(rds_mysql_cluster: RdsCluster) -> RdsCluster:
    """The cluster, with an empty table."""
    rds_mysql_cluster.execute("DROP TABLE IF EXISTS note; CREATE TABLE note (n bigint)", "app")
    rds_mysql_cluster.catch_up()
    return rds_mysql_cluster


def ask(url: URL, sql: str) -> Any:
    """The first value of what `sql` yields, if it yields any; committed."""
    options = {"rds_iam_target_session_attrs": "any"}
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", **options)
    with engine.connect() as connection:
        found = connection.execute(text(sql))
        return found.scalar() if found.returns_rows else None


def url_of(cluster: RdsCluster, endpoint: ClusterEndpoint) -> URL:
    """A URL of one of the cluster's names."""
    return cluster.address_url(endpoint)


def takes_writes(cluster: RdsCluster, endpoint: ClusterEndpoint) -> bool:
    """Whether the user app can write where `endpoint` leads to."""
    try:
        ask(url_of(cluster, endpoint), "INSERT INTO note VALUES (0)")
    except DBAPIError as error:
        if error.orig is None or error.orig.args[0] not in {1290, 2003}:
            raise
        return False
    return True


def rows(cluster: RdsCluster, **where: Any) -> set[int]:
    """What is in the table of the writer, or of another member."""
    return {int(str(n)) for (n,) in cluster.execute("SELECT n FROM note", "app", **where)}


def test_each_name_leads_to_its_member(cluster: RdsCluster) -> None:
    """Writer, reader and instances: their own names, tokens and roles, and one database."""
    names, first = cluster.names, cluster.writer.number == 1
    ask(cluster.writer_url(), "INSERT INTO note VALUES (1)")
    cluster.catch_up()
    urls = [cluster.writer_url(), cluster.reader_url(), *map(cluster.instance_url, (1, 2))]
    assert [ask(url, "SELECT @@GLOBAL.read_only") for url in urls] == [0, 1, not first, first]
    assert {ask(url_of(cluster, each), "SELECT n FROM note") for each in names.endpoints} == {1}
    assert not takes_writes(cluster, names.reader)


@pytest.mark.parametrize("kill", [True, False, "restart"])
def test_the_names_follow_late(cluster: RdsCluster, kill: Kind) -> None:
    """One server takes writes; the writer's name leads to it when the lag is over, not before."""
    names, old = cluster.names, cluster.writer
    cluster.failover(lag=_FAR, kill=kill)
    assert cluster.writer is not old
    numbers = [each for each in (1, 2) if takes_writes(cluster, names.instance(each))]
    assert numbers == [cluster.writer.number]
    assert not takes_writes(cluster, names.cluster)
    assert names.cluster.refuses == (kill is True)
    cluster._call(names.move_at_once())
    assert takes_writes(cluster, names.cluster)


def test_nothing_is_lost(cluster: RdsCluster) -> None:
    """What was reported as done is on both, after failovers of every kind and a switch-over."""
    done: list[int] = []
    stopped = threading.Event()

    def write(number: int) -> None:
        numbers = iter(range(number, 10**9, 3))
        wanted = {"rds_iam_target_session_attrs": "read-write"}
        engine = create_engine(cluster.writer_url(), pool_pre_ping=True, **wanted)
        while not stopped.wait(0.002):
            n = next(numbers)
            try:
                with engine.begin() as connection:
                    connection.execute(text(f"INSERT INTO note VALUES ({n})"))
            except DBAPIError:
                continue
            done.append(n)
        engine.dispose()

    def goes_on() -> None:
        enough = len(done) + 10
        eventually(lambda: len(done) >= enough, "writing does not go on")

    faults: list[Callable[[], None]] = [
        lambda: cluster.failover(kill=True),
        cluster.rejoin,
        lambda: cluster.failover(kill=False),
        cluster.rejoin,
        lambda: cluster.failover(kill="restart"),
        cluster.switch_over,
    ]
    threads = [threading.Thread(target=write, args=(n,)) for n in (1, 2, 3)]
    for thread in threads:
        thread.start()
    try:
        for fault in faults:
            goes_on()
            fault()
        goes_on()
    finally:
        stopped.set()
        for thread in threads:
            thread.join(DEADLINE)
    assert set(done) <= rows(cluster)
    cluster.catch_up()
    assert rows(cluster, member=cluster.standby) == rows(cluster)


def test_a_commit_waits_for_its_standby(cluster: RdsCluster) -> None:
    """It is not reported as done before the standby has it, however long that takes."""
    cluster.execute("STOP SLAVE", member=cluster.standby)
    url, ended = cluster.writer_url(), threading.Event()

    def write() -> None:
        ask(url, "INSERT INTO note VALUES (5)")
        ended.set()

    thread = threading.Thread(target=write)
    thread.start()
    waiting = "SELECT 1 FROM information_schema.processlist WHERE state LIKE '%semi-sync ACK%'"
    eventually(lambda: cluster.execute(waiting), "the commit does not wait")
    assert not ended.is_set()
    cluster.execute("START SLAVE", member=cluster.standby)
    assert ended.wait(DEADLINE)
    thread.join(DEADLINE)


def test_a_standby_that_is_behind(cluster: RdsCluster) -> None:
    """What it has been sent, but does not show yet, is there when it has become the writer."""
    for sql in ("STOP SLAVE", "CHANGE MASTER TO MASTER_DELAY = 1", "START SLAVE"):
        cluster.execute(sql, member=cluster.standby)
    ask(cluster.writer_url(), "INSERT INTO note VALUES (8)")
    cluster.failover(kill=True)
    assert rows(cluster) == {8}


def test_a_partition(cluster: RdsCluster) -> None:
    """What is sent to the writer arrives when it ends, and its standby goes on following."""
    engine = create_engine(cluster.writer_url())
    with engine.connect() as connection:
        cluster.partition()
        cluster.execute("INSERT INTO note VALUES (6)", "app")
        cluster.catch_up()
        timer = threading.Timer(0.1, cluster.heal)
        timer.start()
        assert connection.scalar(text("SELECT n FROM note")) == 6
        timer.join()
    engine.dispose()


def test_a_locked_table_is_no_obstacle(cluster: RdsCluster) -> None:
    """A session that keeps the server from becoming read-only is ended."""
    engine = create_engine(cluster.writer_url())
    with engine.connect() as connection:
        connection.execute(text("LOCK TABLES note WRITE"))
        cluster.failover(kill=False)
        connection.invalidate()
    assert takes_writes(cluster, cluster.names.cluster)
    engine.dispose()


def test_sessions_are_ended(cluster: RdsCluster) -> None:
    """Those of clients, and not what the standby follows by."""
    engine = create_engine(cluster.writer_url())
    with engine.connect() as connection:
        connection.scalar(text("SELECT 1"))
        assert cluster.kill_sessions() == 1
        with pytest.raises(DBAPIError) as caught:
            connection.scalar(text("SELECT 1"))
        assert caught.value.connection_invalidated
    engine.dispose()
    ask(cluster.writer_url(), "INSERT INTO note VALUES (7)")
    cluster.catch_up()
    assert rows(cluster, member=cluster.standby) == {7}


def test_its_end(cluster: RdsCluster) -> None:
    """Nothing is left of it: no directory, and no process."""
    with RdsCluster(engine="mysql", synchronous=False) as another:
        directories = [server.directory for server in another._servers]
        processes = [int((each / "pid").read_text()) for each in directories]
        another.failover(kill=True)
    assert not any(each.exists() for each in directories)
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
