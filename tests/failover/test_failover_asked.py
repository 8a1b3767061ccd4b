"""A database that reports nothing: it is asked at connect, and in the place of the ping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from failover_support import INSERT, LATE, aside, follow, looks, pid, rows, using, write
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from worlds import Database, on

from sqlalchemy_rds_iam import WrongServerError
from sqlalchemy_rds_iam.testing import RdsCluster

MakeWriter = Callable[..., Database]

pytestmark = on("pymysql", "asyncmy", "mysqldb")


def _messages(cluster: RdsCluster) -> dict[str, int]:
    """What clients have said by the writer's endpoint, but for their farewells."""
    said = cluster.names.cluster.traffic.messages
    return {kind: count for kind, count in said.items() if kind != "quit"}


@pytest.mark.parametrize("pings", [True, False])
def test_what_it_costs(cluster: RdsCluster, writer: MakeWriter, *, pings: bool) -> None:
    """One question a connect; a checkout takes no message more than without it."""
    found = []
    for wants in ("any", "read-write"):
        database = writer(wants=wants, pool_size=1, max_overflow=0, pool_pre_ping=pings)
        database.scalar("select 1")  # SQLAlchemy asks a server about itself once
        using(database, lambda connection: connection.invalidate())
        traffic = cluster.names.cluster.traffic
        traffic.clear()
        database.scalar("select 1")
        connects = sum(_messages(cluster).values())
        traffic.clear()
        database.scalar("select 2")
        found.append((connects, sum(_messages(cluster).values())))
    (plain, checkout), checked = found
    assert checked == (plain + 1, checkout)


def test_a_ping_finds_it(cluster: RdsCluster, writer: MakeWriter) -> None:
    """No write fails on a server that has become read-only: its connections are left before."""
    database = writer(pool_size=1, max_overflow=0, pool_pre_ping=True)
    before = pid(database)
    cluster.failover(lag=LATE, kill=False)
    with aside(lambda: write(database)) as writing:
        looks(database)
        follow(cluster)
    writing.result()
    assert pid(database) != before
    assert rows(cluster) == {1}


def test_a_ping_keeps_the_transaction_clean(cluster: RdsCluster, writer: MakeWriter) -> None:
    """What it asks begins no transaction, so what is committed later is seen."""
    database = writer(pool_size=1, max_overflow=0, pool_pre_ping=True)
    pid(database)

    def body(connection: Connection) -> Any:
        cluster.execute("INSERT INTO written VALUES (1)", "app")
        return connection.scalar(text("SELECT count(*) FROM written"))

    assert using(database, body) == 1


def test_a_savepoint(cluster: RdsCluster, writer: MakeWriter) -> None:
    """A server that is read-only commits nothing of what is around it: it is a disconnect."""
    database = writer(pool_size=1, max_overflow=0)
    before = pid(database)
    cluster.failover(lag=LATE, kill=False)

    def body(connection: Connection) -> DBAPIError:
        with pytest.raises(DBAPIError) as caught, connection.begin_nested():
            connection.execute(INSERT, {"n": 1})
        return caught.value

    assert using(database, body).connection_invalidated
    follow(cluster)
    write(database)
    assert pid(database) != before


def test_a_commit(cluster: RdsCluster, writer: MakeWriter) -> None:
    """A transaction that has written before its server became read-only fails as it ends."""
    database = writer(pool_size=1, max_overflow=0)

    def body(connection: Connection) -> DBAPIError:
        connection.execute(INSERT, {"n": 1})
        cluster.failover(lag=LATE, kill=False)
        with pytest.raises(DBAPIError) as caught:
            connection.commit()
        return caught.value

    assert using(database, body).connection_invalidated
    follow(cluster)
    write(database, 2)
    assert rows(cluster) == {2}


def test_the_whole_pool_is_replaced(cluster: RdsCluster, writer: MakeWriter) -> None:
    """One failed write is enough: no other connection of the pool is used again."""
    database = writer(pool_size=3)

    def three(first: Connection) -> set[Any]:
        with first.engine.connect() as second, first.engine.connect() as third:
            return {
                connection.exec_driver_sql(database.words.session).scalar()
                for connection in (first, second, third)
            }

    before = using(database, three)
    cluster.failover(kill=False)
    with pytest.raises(DBAPIError) as caught:
        write(database)
    assert caught.value.connection_invalidated
    assert before.isdisjoint(using(database, three))


def test_a_user_whom_read_only_does_not_bind(cluster: RdsCluster, writer: MakeWriter) -> None:
    """One with READ ONLY ADMIN could write on a replica, and is kept from it all the same."""
    cluster.execute("GRANT READ ONLY ADMIN ON *.* TO 'app'@'%'")
    try:
        cluster.catch_up()
        assert cluster.standby is not None
        driver = writer(wants=None).engine.url.drivername
        url = cluster.instance_url(cluster.standby.number, driver)
        database = writer(url=url, poolclass=NullPool, rds_iam_failover_timeout=0.01)
        assert "is read-only, as a replica is" in str(database.raises(WrongServerError))
    finally:
        cluster.execute("REVOKE READ ONLY ADMIN ON *.* FROM 'app'@'%'")
