"""What servers, poolers and drivers report of themselves, and what that costs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from failover_support import (
    INSERT,
    LATE,
    aside,
    follow,
    looks,
    pid,
    rows,
    using,
    write,
    write_at_last,
)
from families import Words
from patience import DEADLINE
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from worlds import POSTGRESQL, Database, on

from sqlalchemy_rds_iam import WrongServerError
from sqlalchemy_rds_iam._connecting import session_guard
from sqlalchemy_rds_iam.testing import RdsCluster

MakeWriter = Callable[..., Database]
STANDBY, READ_ONLY = "in_hot_standby", "default_transaction_read_only"


def _forge(cluster: RdsCluster, **status: str | None) -> None:
    for member in cluster.members:
        member.gateway.forged_status.update(status)


@on(*POSTGRESQL)
def test_a_server_that_reports_is_not_asked(cluster: RdsCluster, writer: MakeWriter) -> None:
    """Neither a connect nor a checkout takes another message than without it."""
    found = []
    traffic = cluster.names.cluster.traffic
    for wants in ("any", "read-write"):
        database = writer(wants=wants, pool_size=1, max_overflow=0, pool_pre_ping=True)
        database.scalar("select 1")  # SQLAlchemy asks a server about itself once
        _drop(database)
        traffic.clear()
        for n in (1, 2):
            database.scalar(f"select {n}")
        # The farewell of the dropped connection may come at any time.
        messages = {kind: count for kind, count in traffic.messages.items() if kind != "X"}
        found.append((traffic.logins, traffic.round_trips, messages))
    assert found[0] == found[1]
    assert found[0][0] == 1


def _drop(database: Database) -> None:
    """Close the connection in the pool."""
    using(database, lambda connection: connection.invalidate())


@on(*POSTGRESQL)
@pytest.mark.parametrize(
    "status",
    [{STANDBY: "on"}, {READ_ONLY: "on"}, {STANDBY: None, READ_ONLY: None}, {STANDBY: None}],
)
def test_what_is_in_doubt_is_asked_once(
    cluster: RdsCluster,
    writer: MakeWriter,
    monkeypatch: pytest.MonkeyPatch,
    status: dict[str, str | None],
) -> None:
    """A pooler's stale report, or none: a writer is accepted when it answers, and stays so."""
    _forge(cluster, **status)
    monkeypatch.setattr(session_guard, "ask", lambda *_: pytest.fail("it is asked again"))
    database = writer(pool_size=1, max_overflow=0, pool_pre_ping=True)
    before = pid(database)
    traffic = cluster.names.cluster.traffic
    traffic.clear()
    for n in (1, 2, 3):
        write(database, n)
    asked = traffic.round_trips
    assert pid(database) == before
    plain = writer(wants="any", pool_size=1, max_overflow=0, pool_pre_ping=True)
    plain.scalar("select 1")
    traffic.clear()
    for n in (4, 5, 6):
        write(plain, n)
    assert traffic.round_trips == asked


@on(*POSTGRESQL)
@pytest.mark.parametrize("status", [{STANDBY: "on"}, {STANDBY: None, READ_ONLY: None}])
def test_a_server_in_doubt_that_changes(
    cluster: RdsCluster, writer: MakeWriter, status: dict[str, str | None]
) -> None:
    """Found by its first error, as a disconnect."""
    _forge(cluster, **status)
    database = writer(pool_size=1, max_overflow=0)
    before = pid(database)
    cluster.failover(lag=LATE, kill=False)
    with pytest.raises(DBAPIError) as caught:
        write(database)
    assert caught.value.connection_invalidated
    with aside(lambda: write(database)) as writing:
        looks(database)
        follow(cluster)
    writing.result()
    assert pid(database) != before


def test_each_kind_of_server(cluster: RdsCluster, writer: MakeWriter, words: Words) -> None:
    """The writer and the standby will do for those that want them, and for no other."""
    _each_kind(cluster, writer, words)


@on(*POSTGRESQL)
def test_each_kind_that_reports_nothing(
    cluster: RdsCluster, writer: MakeWriter, words: Words
) -> None:
    """The same of one that has to be asked, as it is older, or behind a pooler."""
    _forge(cluster, **{STANDBY: None, READ_ONLY: None})
    _each_kind(cluster, writer, words)


def _each_kind(cluster: RdsCluster, writer: MakeWriter, words: Words) -> None:
    driver = writer(wants=None).engine.url.drivername
    for wants, numbers in {
        "read-write": [1],
        "primary": [1],
        "read-only": [2],
        "standby": [2],
        "prefer-standby": [1, 2],
    }.items():
        for number in (1, 2):  # the writer, the standby
            member = cluster.writer if number == 1 else cluster.standby
            assert member is not None
            url = cluster.instance_url(member.number, driver)
            database = writer(
                wants=wants, url=url, poolclass=NullPool, rds_iam_failover_timeout=0.01
            )
            if number in numbers:
                assert database.scalar("select 1") == 1
            else:
                error = database.raises(WrongServerError)
                kind = words.is_standby if number == 2 else "the primary"
                assert f"is {kind}, and rds_iam_target_session_attrs={wants}" in str(error)


def test_a_standby_that_is_promoted(cluster: RdsCluster, writer: MakeWriter, words: Words) -> None:
    """A reader's engine leaves it at the next checkout."""
    standby = cluster.standby
    assert standby is not None
    driver = writer(wants=None).engine.url.drivername
    url = cluster.instance_url(standby.number, driver)
    database = writer(
        wants="standby", url=url, pool_size=1, pool_pre_ping=True, rds_iam_failover_timeout=0.05
    )
    assert database.scalar(f"select {words.standby}") == 1
    cluster.failover(kill="restart")
    database.raises(WrongServerError)


def test_without_a_pool(cluster: RdsCluster, writer: MakeWriter) -> None:
    """Each connect waits by itself."""
    database = writer(poolclass=NullPool)
    write(database, 1)
    cluster.failover(lag=LATE, kill=False)
    with aside(lambda: write(database, 2)) as writing:
        looks(database)
        follow(cluster)
    writing.result()
    assert rows(cluster) == {1, 2}


@on(*POSTGRESQL, "pymysql", "asyncmy")
def test_a_name_that_leads_nowhere_at_first(
    cluster: RdsCluster, writer: MakeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The very first connect of an engine waits for it, also where the plugin looks it up."""
    name, real = "writer.tunnel.test", socket.getaddrinfo
    leads, asked = threading.Event(), threading.Event()

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in {name, name.encode()}:
            return real(host, *args, **kwargs)
        asked.set()
        if not leads.is_set():
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real("127.0.0.1", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    url = cluster.writer_url(writer(wants=None).engine.url.drivername)
    database = writer(url=url.set(host=name))
    with aside(lambda: write(database, 1)) as writing:
        assert asked.wait(DEADLINE)
        looks(database)
        assert not writing.done()
        leads.set()
    writing.result()
    assert rows(cluster) == {1}


def test_sessions_that_were_ended(cluster: RdsCluster, writer: MakeWriter) -> None:
    """What is closed by the time of its checkout fails as SQLAlchemy's own, if at all."""
    database = writer(pool_size=1, max_overflow=0)
    before = pid(database)
    cluster.kill_sessions()
    write_at_last(database)
    assert pid(database) != before
    assert rows(cluster) == {1}


@on("psycopg", "psycopg2")
def test_a_session_that_was_closed(cluster: RdsCluster, writer: MakeWriter) -> None:
    """What its driver does not look into any more is replaced without an error."""
    database = writer(pool_size=1, max_overflow=0)
    session: Any = using(database, lambda connection: connection.connection.driver_connection)
    session.close()
    write(database)
    assert rows(cluster) == {1}


@on("psycopg", "psycopg2", "pg8000", "pymysql", "mysqldb")
def test_a_raw_connection(cluster: RdsCluster, writer: MakeWriter, words: Words) -> None:
    """Its errors are out of reach; the next checkout finds what they have shown."""
    # Where nothing is reported, it is the ping that asks.
    database = writer(pool_size=1, max_overflow=0, pool_pre_ping=words.family == "mysql")
    write(database, 1)
    raw = database.engine.raw_connection()
    cluster.failover(lag=LATE, kill=False)
    with pytest.raises(Exception, match=words.read_only):
        raw.cursor().execute("INSERT INTO written VALUES (2)")
    raw.close()
    with aside(lambda: write(database, 3)) as writing:
        looks(database)
        follow(cluster)
    writing.result()
    assert rows(cluster) == {1, 3}


@on(*POSTGRESQL)
def test_a_transaction_from_before_a_promotion(cluster: RdsCluster, writer: MakeWriter) -> None:
    """It stays read-only on a server that is a writer by now, which is kept."""
    standby = cluster.standby
    assert standby is not None
    driver = writer(wants=None).engine.url.drivername
    _forge(cluster, **{STANDBY: "off"})
    url = cluster.instance_url(standby.number, driver)
    database = writer(url=url, pool_size=1, max_overflow=0)
    before = pid(database)

    def body(connection: Connection) -> Any:
        connection.exec_driver_sql("select 1")
        cluster.failover(kill=False)
        with pytest.raises(DBAPIError) as caught:
            connection.execute(INSERT, {"n": 1})
        connection.rollback()
        return caught.value.connection_invalidated

    assert not using(database, body)
    write(database, 2)
    assert pid(database) == before
