"""No connect hangs: every driver gives up in time, and its queries may take as long as they do."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from odd_servers import closed_port, odd_server, silent_server
from rds_secret_support import LogIn
from sqlalchemy.pool import NullPool
from tls_support import LIBPQ
from worlds import Database, on

from sqlalchemy_rds_iam._databases import dialing
from sqlalchemy_rds_iam.testing import RdsEmulator, Secret

WORDS = dict.fromkeys(("psycopg", "psycopg2", "pymysql", "asyncmy", "mysqldb"), "connect_timeout")
WORDS["asyncpg"] = "timeout"
TIMED_OUT = ("timeout", "within 2 s", "timed out", "system error: 110")  # ETIMEDOUT


@pytest.fixture
def word(world: tuple[str, bool]) -> str | None:
    """What the driver calls the time that it may take to connect; None if there is no such word."""
    return WORDS.get(world[0].partition("+")[2])


@pytest.fixture
def host(rds: RdsEmulator, world: tuple[str, bool]) -> str:
    """Where the driver connects to."""
    return str(rds.url(world[0]).host)


@pytest.fixture
def dial(rds: RdsEmulator, world: tuple[str, bool], databases: Any) -> Callable[..., Database]:
    """Make a database that connects to another port than the token is signed for."""

    def make(
        port: int | None = None,
        host: str | None = None,
        without: tuple[str, ...] = (),
        **kwargs: Any,
    ) -> Database:
        options = {"rds_iam_port": str(rds.endpoint.port)} | kwargs.pop("options", {})
        url = rds.url(world[0], **options)
        url = url.set(port=port or url.port, host=host or url.host)
        url = url.difference_update_query(without)
        made: Database = databases(url, is_async=world[1], poolclass=NullPool, **kwargs)
        return made

    return make


def _arguments(database: Database) -> dict[str, Any]:
    arguments: dict[str, Any] = database.inside.plan.target.arguments
    return arguments


def _drips(client: socket.socket, _context: Any) -> None:
    """It agrees to TLS and then sends a byte now and then, for ever."""
    client.recv(8)  # the request for TLS
    client.sendall(b"S")
    client.recv(5)  # the head of the client's first record
    # The head of a TLS record of 16,000 bytes: a handshake that takes its time.
    client.sendall(b"\x16\x03\x03\x3e\x80")
    while True:
        client.sendall(b"\x00")
        time.sleep(0.05)


@pytest.mark.parametrize("server", ["silent", "dripping"])
def test_a_server_that_does_not_answer(
    dial: Callable[..., Database], monkeypatch: pytest.MonkeyPatch, server: str, host: str
) -> None:
    """A server that accepts connections and never lets anyone in cannot hold a connect."""
    monkeypatch.setattr(dialing, "CONNECT_LIMIT", 2.0)
    with silent_server(host) if server == "silent" else odd_server(host, _drips) as port:
        error = dial(port, options={"rds_iam_timeout": "1"}).raises(Exception)
    words = f"{type(error).__name__}: {error} {error.__cause__!r}".lower()
    assert any(word in words for word in TIMED_OUT), words


def test_a_query_may_take_longer(
    dial: Callable[..., Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit ends with the connect: what is asked afterwards has all the time it needs."""
    monkeypatch.setattr(dialing, "CONNECT_LIMIT", 2.0)
    database = dial(options={"rds_iam_timeout": "2"})

    def ask(connection: Any) -> Any:
        connection.exec_driver_sql(database.words.sleep(2.5))
        return connection.exec_driver_sql("select 1").scalar()

    assert database.run(ask) == 1


def test_the_limit(dial: Callable[..., Database], word: str | None) -> None:
    """It is 30 s, or as long as the password may take where that is longer."""
    if word is None:
        pytest.skip("pg8000 has no argument for it")
    assert _arguments(dial())[word] == 30
    assert _arguments(dial(options={"rds_iam_timeout": "45"}))[word] == 45


def test_the_users_limit(
    dial: Callable[..., Database], word: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the user says counts: in connect_args, and for libpq in its environment variable."""
    if word is None:
        pytest.skip("pg8000 has no argument for it")
    database = dial(connect_args={word: 7})
    assert word not in _arguments(database)
    assert database.scalar("select 1") == 1
    assert word not in _arguments(database)
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "7")
    assert (word in _arguments(dial())) == (database.engine.dialect.driver not in LIBPQ)


@on("psycopg", "psycopg-async", "psycopg2")
@pytest.mark.parametrize("tunnel", [True, False], ids=["tunnel", "direct"])
def test_several_addresses_share_it(
    rds: RdsEmulator,
    dial: Callable[..., Database],
    monkeypatch: pytest.MonkeyPatch,
    tunnel: bool,
) -> None:
    """Where libpq tries several addresses in turn, all of them together have the time."""
    real = socket.getaddrinfo

    def three(host: Any, *args: Any, **kwargs: Any) -> Any:
        return real("127.0.0.1", *args, **kwargs) + [
            entry
            for address in ("127.0.0.2", "127.0.0.3")
            for entry in real(address, *args, **kwargs)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", three)
    options = {} if tunnel else {"rds_iam_tls": "require", "rds_iam_region": rds.endpoint.region}
    seen: list[dict[str, Any]] = []
    without = () if tunnel else ("rds_iam_host", "rds_iam_ca")
    database = dial(host="localhost", options=options, without=without)
    dialect = database.engine.dialect
    connect = dialect.connect

    def spy(*cargs: Any, **cparams: Any) -> Any:
        seen.append(cparams)
        return connect(*cargs, **cparams)

    monkeypatch.setattr(dialect, "connect", spy)
    if tunnel:
        assert database.scalar("select 1") == 1
    else:  # RDS takes no token that is signed for another name
        database.raises(Exception)
    assert {each["connect_timeout"] for each in seen} == {10}


@on("pg8000")
def test_pg8000s_own_timeout(dial: Callable[..., Database]) -> None:
    """The time that a user gives each of pg8000's steps is the user's, queries included."""
    database = dial(connect_args={"timeout": 1})
    assert database.scalar("select 1") == 1
    with pytest.raises(Exception, match=r"timed out|network error"):
        database.scalar(database.words.sleep(3))
    with silent_server() as port:
        dial(port, connect_args={"timeout": 1}).raises(Exception)


def test_a_refused_connection(dial: Callable[..., Database]) -> None:
    """Where nothing listens, the driver says so at once, and nothing is left open."""
    port = closed_port()
    error = dial(port).raises(Exception)
    words = f"{error} {error.__cause__}".lower()
    assert re.search("refused|connect call failed|can't connect to server", words), words


def test_with_a_secret(log_in: LogIn, secret: Secret, word: str | None) -> None:
    """The same limit holds with rds_secret."""
    if word is None:
        pytest.skip("pg8000 has no argument for it")
    database = log_in(secret)
    assert database.scalar("select 1") == 1
    assert database.inside.plan.target.arguments[word] == 30
