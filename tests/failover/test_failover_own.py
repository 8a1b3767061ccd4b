"""Whose read-only it is: a user's own transaction is not a reason to drop a connection."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from failover_support import INSERT, LATE, aside, follow, looks, pid, rows, using, write
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from worlds import POSTGRESQL, Database, on, worlds

from sqlalchemy_rds_iam.testing import RdsCluster

MakeWriter = Callable[..., Database]


def _refused(connection: Connection, n: int = 1) -> DBAPIError:
    """The error of a write."""
    with pytest.raises(DBAPIError) as caught:
        connection.execute(INSERT, {"n": n})
    return caught.value


def _by_option(connection: Connection) -> DBAPIError:
    connection = connection.execution_options(postgresql_readonly=True)
    return _refused(connection)


def _by_transaction(connection: Connection) -> DBAPIError:
    connection.execute(text("SET TRANSACTION READ ONLY"))
    return _refused(connection)


def _by_session(connection: Connection) -> DBAPIError:
    connection.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
    connection.commit()
    error = _refused(connection)
    connection.rollback()
    connection.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"))
    connection.commit()
    return error


def _by_default(connection: Connection) -> DBAPIError:
    connection.execute(text("SET default_transaction_read_only = on"))
    connection.commit()
    error = _refused(connection)
    connection.rollback()
    connection.execute(text("RESET default_transaction_read_only"))
    connection.commit()
    return error


def _by_mysql_transaction(connection: Connection) -> DBAPIError:
    connection.execute(text("START TRANSACTION READ ONLY"))
    return _refused(connection)


def _by_mysql_session(connection: Connection) -> DBAPIError:
    connection.execute(text("SET SESSION TRANSACTION READ ONLY"))
    error = _refused(connection)
    connection.execute(text("SET SESSION TRANSACTION READ WRITE"))
    return error


_OWN = (
    (POSTGRESQL, (_by_option, _by_transaction, _by_session, _by_default)),
    (("pymysql", "asyncmy", "mysqldb"), (_by_mysql_transaction, _by_mysql_session)),
)


@pytest.mark.parametrize(
    ("world", "own"),
    [
        pytest.param(*world.values, own, marks=world.marks)
        for keys, ways in _OWN
        for world in worlds(keys)
        for own in ways
    ],
    indirect=["world"],
)
def test_a_users_own(
    cluster: RdsCluster, writer: MakeWriter, own: Callable[[Connection], DBAPIError]
) -> None:
    """Its error is an error, and its connection stays what it is."""
    database = writer(pool_pre_ping=True, pool_size=1, max_overflow=0)
    before = pid(database)

    def body(connection: Connection) -> DBAPIError:
        error = own(connection)
        connection.rollback()
        return error

    assert not using(database, body).connection_invalidated
    assert pid(database) == before
    write(database)


@on(*POSTGRESQL)
def test_a_session_that_is_left_so(cluster: RdsCluster, writer: MakeWriter) -> None:
    """One that its user leaves read-only is replaced, and no other connection of the pool is."""
    database = writer(pool_size=2)
    pids = {}

    def two(first: Connection) -> None:
        def leave(connection: Connection) -> None:
            pids["left"] = connection.scalar(text("SELECT pg_backend_pid()"))
            connection.execute(text("SET default_transaction_read_only = on"))
            connection.commit()

        pids["other"] = first.scalar(text("SELECT pg_backend_pid()"))
        with first.engine.connect() as second:
            leave(second)

    using(database, two)
    found = {pid(database) for _ in range(2)}
    assert pids["other"] in found
    assert pids["left"] not in found
    write(database)


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "AUTOCOMMIT"])
def test_the_servers(cluster: RdsCluster, writer: MakeWriter, isolation: str) -> None:
    """A parameter on the server is the server's: the first write fails as a disconnect."""
    database = writer(pool_size=1, max_overflow=0, isolation_level=isolation)
    before = pid(database)
    cluster.failover(lag=LATE, kill=False)

    def body(connection: Connection) -> DBAPIError:
        return _refused(connection)

    error = using(database, body)
    assert error.connection_invalidated
    with aside(lambda: write(database)) as writing:
        looks(database)
        follow(cluster)
    writing.result()
    assert pid(database) != before
    assert rows(cluster) == {1}


@on(*POSTGRESQL)
def test_a_savepoint(cluster: RdsCluster, writer: MakeWriter) -> None:
    """Of a user's own, the transaction around it is usable; its failure is no disconnect."""
    database = writer(pool_size=1, max_overflow=0)

    def body(connection: Connection) -> bool:
        with connection.begin():
            connection.execute(INSERT, {"n": 1})
            savepoint = connection.begin_nested()
            connection.execute(text("SET TRANSACTION READ ONLY"))
            error = _refused(connection, 2)
            savepoint.rollback()
            connection.execute(INSERT, {"n": 3})
            return error.connection_invalidated

    assert not using(database, body)
    assert rows(cluster) == {1, 3}


@on(*POSTGRESQL)
@pytest.mark.parametrize("reports", [True, False])
def test_a_savepoint_on_a_server_that_has_changed(
    cluster: RdsCluster, writer: MakeWriter, *, reports: bool
) -> None:
    """The transaction is left alone, and the next checkout finds out."""
    if not reports:
        _keep_quiet(cluster)
    database = writer(pool_size=1, max_overflow=0)
    before = pid(database)
    cluster.failover(lag=LATE, kill=False)

    def body(connection: Connection) -> tuple[bool, object]:
        with connection.begin():
            savepoint = connection.begin_nested()
            error = _refused(connection)
            savepoint.rollback()
            return error.connection_invalidated, connection.scalar(text("SELECT pg_backend_pid()"))

    assert using(database, body) == (False, before)
    with aside(lambda: write(database)) as writing:
        looks(database)
        follow(cluster)
    writing.result()


def _keep_quiet(cluster: RdsCluster) -> None:
    for member in cluster.members:
        for name in ("in_hot_standby", "default_transaction_read_only"):
            member.gateway.forged_status[name] = None


@pytest.fixture
def app_is_serializable(cluster: RdsCluster) -> Iterator[None]:
    """The role's transactions are serializable by default, which no standby takes."""
    cluster.execute("ALTER ROLE app SET default_transaction_isolation = serializable")
    cluster.catch_up()
    yield
    cluster.execute("ALTER ROLE app RESET default_transaction_isolation")


@on(*POSTGRESQL)
def test_serializable(cluster: RdsCluster, writer: MakeWriter, app_is_serializable: None) -> None:
    """A standby does not even answer such a session, which so is on the wrong server."""
    database = writer(poolclass=NullPool)
    write(database, 1)
    cluster.failover(lag=LATE, kill="restart")
    with aside(lambda: write(database, 2)) as writing:
        looks(database, attempts=2)
        assert not writing.done()
        follow(cluster)
    writing.result()
    assert rows(cluster) == {1, 2}


@on(*POSTGRESQL)
def test_a_server_that_lies(cluster: RdsCluster, writer: MakeWriter) -> None:
    """What reports to be a writer and is none is found by its first error, at the next checkout."""
    for member in cluster.members:
        member.gateway.forged_status["in_hot_standby"] = "off"
    cluster.failover(lag=LATE, kill="restart")
    database = writer(pool_size=1, max_overflow=0)
    before = pid(database)
    with pytest.raises(DBAPIError):
        write(database)
    follow(cluster)
    write(database)
    assert pid(database) != before
    assert rows(cluster) == {1}


@pytest.fixture
def app_is_read_only(cluster: RdsCluster) -> Iterator[None]:
    """The role's transactions are read-only by default."""
    cluster.execute("ALTER ROLE app SET default_transaction_read_only = on")
    cluster.catch_up()
    yield
    cluster.execute("ALTER ROLE app RESET default_transaction_read_only")
    cluster.catch_up()


@on(*POSTGRESQL)
def test_a_role_that_is_read_only(
    cluster: RdsCluster,
    writer: MakeWriter,
    app_is_read_only: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is accepted, with one warning; the role may write by its own word."""
    database = writer(pool_size=1, max_overflow=0, pool_pre_ping=True)
    with caplog.at_level(logging.WARNING, "sqlalchemy_rds_iam"):
        before = pid(database)
        other = writer(pool_size=1)
        assert not using(database, _refused).connection_invalidated
        assert pid(database) == before
        pid(other)

    def write_anyway(connection: Connection) -> None:
        # SQLAlchemy's postgresql_readonly=False sends nothing with asyncpg.
        connection.execute(text("SET TRANSACTION READ WRITE"))
        connection.execute(INSERT, {"n": 1})
        connection.commit()

    using(database, write_anyway)
    assert rows(cluster) == {1}
    said = [record.getMessage() for record in caplog.records]
    assert len([text for text in said if "read-only by default" in text]) == 2  # one an engine


def test_the_urls_own_options(cluster: RdsCluster, writer: MakeWriter) -> None:
    """What the connection's own options want is the user's wish, too."""
    wish = "default_transaction_read_only"
    of_mysql = {"init_command": "SET SESSION TRANSACTION READ ONLY"}
    given: dict[str, Any] = {
        "asyncpg": {"server_settings": {wish: "on"}},
        "pg8000": {"startup_params": {wish: "on"}},
        **dict.fromkeys(("pymysql", "asyncmy", "mysqldb"), of_mysql),
    }
    url = writer(pool_size=1).engine.url
    arguments: Any = given.get(url.get_driver_name(), {"options": f"-c {wish}=on"})
    database = writer(pool_size=1, max_overflow=0, connect_args=arguments)
    before = pid(database)
    assert not using(database, _refused).connection_invalidated
    assert pid(database) == before
