"""A cluster's members replicate, change roles, and are found by names that follow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, Literal, Self

import psycopg
import pytest
from emulator_support import libpq_at
from patience import DEADLINE, eventually

from sqlalchemy_rds_iam.testing import ClusterEndpoint, RdsCluster

Kind = bool | Literal["restart"]

KINDS = pytest.mark.parametrize("kill", [True, False, "restart"])
_FAR = 3600.0


@pytest.fixture
def cluster(rds_cluster: RdsCluster) -> RdsCluster:
    """The cluster, with an empty table."""
    rds_cluster.execute("DROP TABLE IF EXISTS note", "app")
    rds_cluster.execute("CREATE TABLE note (n int); GRANT ALL ON note TO app", "app")
    rds_cluster.catch_up()
    return rds_cluster


def ask(cluster: RdsCluster, endpoint: ClusterEndpoint, sql: str) -> Any:
    """The first value of what `sql` yields, as the user app."""
    arguments = libpq_at(cluster, endpoint, autocommit=True)
    with psycopg.connect(**arguments) as connection:
        cursor = connection.execute(sql)
        row = cursor.fetchone() if cursor.description else None
    return None if row is None else row[0]


def takes_writes(cluster: RdsCluster, endpoint: ClusterEndpoint) -> bool:
    """Whether the user app can write where `endpoint` leads to."""
    try:
        ask(cluster, endpoint, "INSERT INTO note VALUES (0)")
    except psycopg.errors.ReadOnlySqlTransaction:
        return False
    except psycopg.OperationalError as error:
        assert "refused" in str(error)  # noqa: PT017 - what else fails is for the caller
        return False
    return True


def writable(cluster: RdsCluster) -> list[int]:
    """The members that take writes, by number."""
    numbers = (member.number for member in cluster.members)
    return [each for each in numbers if takes_writes(cluster, cluster.names.instance(each))]


def test_each_name_leads_to_its_member(cluster: RdsCluster) -> None:
    """Writer, reader and instances: their own tokens and certificates, and one database."""
    names = cluster.names
    for endpoint in names.endpoints:
        arguments = libpq_at(cluster, endpoint, host=endpoint.signed.host, hostaddr="127.0.0.1")
        psycopg.connect(**arguments).close()
    ask(cluster, names.cluster, "INSERT INTO note VALUES (1)")
    cluster.catch_up()
    in_recovery = [ask(cluster, each, "SELECT pg_is_in_recovery()") for each in names.endpoints]
    first = cluster.writer.number == 1
    assert in_recovery == [False, True, not first, first]
    assert {ask(cluster, each, "SELECT n FROM note") for each in names.endpoints} == {1}
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        ask(cluster, names.reader, "INSERT INTO note VALUES (2)")
    assert cluster.standby is not None
    by_member = [len(cluster.writer.decisions), len(cluster.standby.decisions)]
    assert by_member == [7, 7]
    assert len(cluster.decisions) == 14


def test_a_token_is_for_one_name_only(cluster: RdsCluster) -> None:
    """A member takes tokens for the names that may lead to it, and not for the other member's."""
    names, number = cluster.names, cluster.writer.number
    other = names.instance(3 - number)
    for signed in (names.cluster, names.reader, names.instance(number)):
        password = libpq_at(cluster, signed)["password"]
        psycopg.connect(**libpq_at(cluster, names.cluster, password=password)).close()
    password = libpq_at(cluster, other)["password"]
    with pytest.raises(psycopg.OperationalError, match="PAM authentication failed"):
        psycopg.connect(**libpq_at(cluster, names.cluster, password=password))
    assert other.signed.host in cluster.decisions[-1].detail


@KINDS
def test_the_names_follow_late(cluster: RdsCluster, kill: Kind) -> None:
    """One server takes writes; the writer's name leads to it when the lag is over, not before."""
    names, old = cluster.names, cluster.writer
    cluster.failover(lag=_FAR, kill=kill)
    assert not names.moved.is_set()
    assert writable(cluster) == [cluster.writer.number] == [3 - old.number]
    assert not takes_writes(cluster, names.cluster)
    assert names.cluster.refuses == (kill is True)
    if kill is not True:
        reported = "in_hot_standby" if kill == "restart" else "default_transaction_read_only"
        with psycopg.connect(**libpq_at(cluster, names.cluster)) as connection:
            assert connection.info.parameter_status(reported) == "on"
    # A later one takes the place of an earlier one.
    cluster._call(names.promoted(cluster.writer, 0.05))
    assert names.moved.wait(DEADLINE)
    assert names.moved_at - names.promoted_at >= 0.05
    assert takes_writes(cluster, names.cluster)


def test_five_in_a_row_lose_nothing(cluster: RdsCluster) -> None:
    """What was reported as done is on the writer after each failover, whatever its kind."""
    with Load(cluster) as load:
        for kill in (True, False, "restart", True, False):
            load.goes_on()
            cluster.failover(lag=0.05, kill=kill)
            assert cluster.names.moved.wait(DEADLINE)
            load.goes_on()
            if cluster.standby is None:
                cluster.rejoin()
    assert load.missing() == set()


def test_a_switch_over_loses_nothing(cluster: RdsCluster) -> None:
    """The roles are exchanged, in good order, as often as one likes."""
    before = cluster.writer
    with Load(cluster) as load, psycopg.connect(**libpq_at(cluster, cluster.names.cluster)) as idle:
        for _ in range(2):
            old, new = cluster.writer, cluster.standby
            load.goes_on()
            cluster.switch_over()
            assert (cluster.writer, cluster.standby) == (new, old)
            load.goes_on()
        with pytest.raises(psycopg.errors.AdminShutdown):
            idle.execute("SELECT 1")
    assert load.missing() == set()
    assert cluster.writer is before
    assert writable(cluster) == [before.number]


def test_the_reader_never_takes_a_write(cluster: RdsCluster) -> None:
    """Once the names have moved, its name leads to a standby, or nowhere."""
    reader = cluster.names.reader
    for kill in (True, False):
        cluster.failover(kill=kill)
        assert reader.refuses
        assert not takes_writes(cluster, reader)
        cluster.rejoin()
        assert ask(cluster, reader, "SELECT pg_is_in_recovery()")
        assert not takes_writes(cluster, reader)
    cluster.failover(kill="restart")
    assert not takes_writes(cluster, reader)


def test_read_only_is_no_fence(cluster: RdsCluster) -> None:
    """On an old writer that was left running, BEGIN READ WRITE writes; rejoining loses it."""
    old = cluster.names.instance(cluster.writer.number)
    with psycopg.connect(**libpq_at(cluster, old, autocommit=True)) as live:
        live.execute("SELECT 1")
        cluster.failover(kill=False)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            live.execute("INSERT INTO note VALUES (1)")
        assert live.info.parameter_status("default_transaction_read_only") == "on"
        live.execute("BEGIN READ WRITE")
        live.execute("INSERT INTO note VALUES (2)")
        live.execute("COMMIT")
        assert live.execute("SELECT n FROM note").fetchall() == [(2,)]
        cluster.rejoin()
        with pytest.raises(psycopg.OperationalError):
            live.execute("SELECT 1")
    assert ask(cluster, old, "SELECT n FROM note") is None


def test_a_transaction_under_way_is_not_reported_as_done(cluster: RdsCluster) -> None:
    """One that outlasts the patience of a demotion is ended with its session, not forgotten."""
    with psycopg.connect(**libpq_at(cluster, cluster.names.cluster)) as live:
        live.execute("INSERT INTO note VALUES (1)")
        cluster.failover(kill=False)
        with pytest.raises(psycopg.errors.AdminShutdown):
            live.execute("SELECT 1")
    assert ask(cluster, cluster.names.cluster, "SELECT n FROM note") is None


def test_what_cannot_be_done_is_said(cluster: RdsCluster) -> None:
    """Bad values and a missing standby are told before anything is changed."""
    writer = cluster.writer
    with pytest.raises(ValueError, match="kill must be True, False or 'restart', not 'no'"):
        cluster.failover(kill="no")  # type: ignore[arg-type]
    for lag in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="lag must be a number of seconds"):
            cluster.switch_over(lag)
    with pytest.raises(ValueError, match="no instance 3: they are numbered 1 to 2"):
        cluster.instance_url(3)
    with pytest.raises(RuntimeError, match="is the standby already"):
        cluster.rejoin()
    assert cluster.writer is writer
    cluster.failover(kill=True)
    for change in (cluster.failover, cluster.switch_over, cluster.catch_up):
        with pytest.raises(RuntimeError, match=r"no standby: rejoin\(\) makes one"):
            change()


class Load:
    """Three threads that write numbers through the writer's endpoint, each its own."""

    def __init__(self, cluster: RdsCluster) -> None:
        self.done: list[int] = []
        self._cluster = cluster
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(3)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(DEADLINE)

    def goes_on(self) -> None:
        """Wait until more has been written."""
        enough = len(self.done) + 10
        eventually(lambda: len(self.done) >= enough, "writing does not go on")

    def missing(self) -> set[int]:
        """What was reported as done and is not there."""
        assert len(self.done) > 10
        rows = self._cluster.execute("SELECT n FROM note", "app")
        return set(self.done) - {int(n) for (n,) in rows if n is not None}

    def _write(self, number: int) -> None:
        numbers = iter(range(number + 3, 10**9, 3))
        while not self._stopped.is_set():
            try:
                self._write_on(numbers)
            except psycopg.Error:
                continue

    def _write_on(self, numbers: Iterator[int]) -> None:
        arguments = libpq_at(self._cluster, self._cluster.names.cluster, autocommit=True)
        with psycopg.connect(**arguments) as connection:
            while not self._stopped.is_set():
                n = next(numbers)
                connection.execute("INSERT INTO note VALUES (%s)", (n,))
                self.done.append(n)
                self._stopped.wait(0.002)
