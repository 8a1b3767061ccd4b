"""A session through the gateway is one of the real server's, with everything that drivers use."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from emulator_support import sign
from mysql_support import BASIC, IN, arguments, directly, raw, response
from patience import eventually
from pymysql.constants import CLIENT

from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.mysql import wire

Cursor = pymysql.cursors.Cursor


@contextlib.contextmanager
def session(rds: RdsEmulator, **changes: Any) -> Iterator[Cursor]:
    """A cursor of a session of its own."""
    with (
        contextlib.closing(pymysql.connect(**arguments(rds, **changes))) as connection,
        connection.cursor() as cursor,
    ):
        yield cursor


def one(cursor: Cursor, sql: str) -> Any:
    """The one value of a query."""
    cursor.execute(sql)
    [value] = cursor.fetchone()  # type: ignore[misc]
    return value


@pytest.fixture
def table(mysql: RdsEmulator) -> Iterator[str]:
    """A table with two rows."""
    mysql.execute(
        "CREATE OR REPLACE TABLE app.t (n int PRIMARY KEY); INSERT INTO app.t VALUES (1), (2)"
    )
    yield "t"
    mysql.execute("DROP TABLE app.t")


def test_several_statements(mysql: RdsEmulator) -> None:
    """Several statements at once, where the client has asked for that, and only there."""
    with session(mysql, client_flag=CLIENT.MULTI_STATEMENTS) as cursor:
        cursor.execute("SELECT 1; SELECT 2")
        assert cursor.fetchall() == ((1,),)
        assert cursor.nextset()
        assert cursor.fetchall() == ((2,),)
    with session(mysql) as cursor, pytest.raises(pymysql.err.ProgrammingError, match="1064"):
        cursor.execute("SELECT 1; SELECT 2")


@pytest.mark.parametrize(("flag", "rows"), [(0, 0), (CLIENT.FOUND_ROWS, 1)])
def test_found_rows(mysql: RdsEmulator, table: str, flag: int, rows: int) -> None:
    """An update that changes nothing counts as the client's flag says."""
    with session(mysql, client_flag=flag) as cursor:
        assert cursor.execute(f"UPDATE {table} SET n = 1 WHERE n = 1") == rows


def test_local_infile(mysql: RdsEmulator, table: str, tmp_path: Path) -> None:
    """A client's file goes to the server."""
    file = tmp_path / "rows"
    file.write_text("7\n8\n9\n")
    with session(mysql, local_infile=True, autocommit=True) as cursor:
        assert cursor.execute(f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE {table}") == 3
        assert one(cursor, f"SELECT count(*) FROM {table}") == 5


@pytest.mark.parametrize("size", [10_000, 16 * 1024 * 1024 + 10])
def test_long_values(mysql: RdsEmulator, size: int) -> None:
    """What needs several packets arrives whole, both ways."""
    mysql.execute("SET GLOBAL max_allowed_packet = 67108864")
    with session(mysql, max_allowed_packet=1 << 26) as cursor:
        cursor.execute("SELECT %s, length(%s)", ("x" * size, "y" * size))
        assert cursor.fetchone() == ("x" * size, size)


def test_a_query_is_ended(mysql: RdsEmulator) -> None:
    """The number that a client knows is good for KILL QUERY, and for KILL."""
    with session(mysql) as cursor, session(mysql) as other:
        number = cursor.connection.thread_id()
        other.execute(f"KILL QUERY {number}")
        assert one(cursor, "SELECT connection_id()") == number
        other.execute(f"KILL {number}")
        with pytest.raises(pymysql.err.OperationalError):
            cursor.execute("SELECT 1")


def test_all_sessions_are_ended(mysql: RdsEmulator) -> None:
    """`kill_sessions` ends those of clients, and none of the emulator's own."""
    with session(mysql) as cursor, session(mysql) as other:
        assert mysql.kill_sessions() >= 2  # of a test before, one may be about to end
        for each in (cursor, other):
            with pytest.raises(pymysql.err.OperationalError):
                each.execute("SELECT 1")
    assert mysql.execute("SELECT 1") == [("1",)]


def test_a_session_ends_with_its_client(mysql: RdsEmulator) -> None:
    """The server's session does not outlive its client."""
    with session(mysql) as cursor:
        number = one(cursor, "SELECT connection_id()")
    found = f"SELECT 1 FROM information_schema.processlist WHERE id = {number}"
    eventually(lambda: not mysql.execute(found))


async def test_connection_attributes(mysql: RdsEmulator) -> None:
    """What a client tells of itself may be there, and be long, and may be nonsense."""
    token = sign(mysql.key, mysql.endpoint).encode()
    attributes = b"\x04name" + b"\xfa" + b"v" * 250
    for rest in (b"\0", b"\xfc" + len(attributes).to_bytes(2, "little") + attributes):
        async with raw(mysql) as client:
            client.send(response(capabilities=BASIC | wire.CONNECT_ATTRS, rest=rest).encode())
            assert await client.outcome(token) == IN


@pytest.mark.parametrize("bit", range(32))
async def test_every_capability(mysql: RdsEmulator, bit: int) -> None:
    """Whatever a client says it can do, it is let in, and is answered as at the server itself."""
    asked = BASIC | 1 << bit
    with_lengths = asked & (wire.CONNECT_ATTRS | wire.PLUGIN_AUTH_LENENC)
    token = sign(mysql.key, mysql.endpoint)
    secret = mysql.gateway._backend.secret_of("app")  # type: ignore[attr-defined]
    answers = []
    for connected, password in ((raw(mysql), token), (directly(mysql), secret)):
        async with connected as client:
            capabilities = asked & client.greeting.capabilities & ~wire.ONE_SIDED
            rest = b"\0" if with_lengths else b""
            # Neither asks for such a one: so both say what they want instead.
            given = response(capabilities=capabilities, rest=rest, plugin=b"unheard_of")
            client.send(given.encode())
            assert await client.outcome(password.encode()) == IN
            client.number = -1
            client.send(wire.COM_QUERY + b"SELECT 1")
            answers.append([await client.receive() for _ in range(4)])
    assert answers[0] == answers[1]


async def test_a_reset_connection(mysql: RdsEmulator) -> None:
    """COM_RESET_CONNECTION and COM_PING are the server's to answer."""
    async with raw(mysql) as client:
        client.send(response().encode())
        assert await client.outcome(sign(mysql.key, mysql.endpoint).encode()) == IN
        for command in (b"\x1f", b"\x0e"):
            client.number = -1
            client.send(command)
            assert (await client.receive())[0] == wire.OK


async def test_another_user_of_the_same_session(mysql: RdsEmulator) -> None:
    """COM_CHANGE_USER does not get around the token: no password of a client's is right."""
    mysql.create_user("other")
    async with raw(mysql) as client:
        client.send(response().encode())
        assert await client.outcome(sign(mysql.key, mysql.endpoint).encode()) == IN
        client.number = -1
        client.send(b"\x11other\0\0\0\x2d\0mysql_native_password\0")
        assert (await client.outcome(b"other"))[0] == 1045


async def test_many_at_once(mysql: RdsEmulator) -> None:
    """Logins do not get in each other's way."""
    asyncmy = pytest.importorskip("asyncmy")
    made = await asyncio.gather(*(asyncmy.connect(**arguments(mysql)) for _ in range(50)))
    numbers = {each.thread_id() for each in made}
    for each in made:
        each.close()
    assert len(numbers) == 50
    assert mysql.metrics["IamDbAuthConnectionSuccess"] == 50


def test_the_statements_of_aws(mysql: RdsEmulator) -> None:
    """What AWS's page says to run makes accounts of IAM, and an ALTER USER unmakes them."""
    aws = "IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'"
    mysql.execute(f"CREATE USER 'jane'@'%' {aws} REQUIRE SSL; GRANT ALL ON app.* TO jane")
    with session(mysql, user="jane") as cursor:
        assert one(cursor, "SELECT current_user()") == "jane@%"
    mysql.execute("ALTER USER jane IDENTIFIED BY 'sesame'")
    with pytest.raises(pymysql.err.OperationalError, match="1045"):
        pymysql.connect(**arguments(mysql, user="jane"))
    with session(mysql, user="jane", password="sesame") as cursor:
        assert one(cursor, "SELECT current_user()") == "jane@%"
    mysql.execute(f"ALTER USER jane {aws}")
    with session(mysql, user="jane") as cursor:
        assert one(cursor, "SELECT current_user()") == "jane@%"
    assert [each.method for each in mysql.decisions] == ["iam", "password", "password", "iam"]
    mysql.execute("DROP USER jane")
