"""MySQL: which errors say that no server is there, and which that it is read-only."""

from __future__ import annotations

import asyncio
import importlib
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._databases.mysql_sessions import RULES

errors = pytest.importorskip("pymysql.err", reason="PyMySQL is not installed")

MARIADB = "The MariaDB server is running with the {} option so it cannot execute this statement"
MYSQL = MARIADB.replace("MariaDB", "MySQL")
QUOTES = (
    "Received error packet before completion of TLS handshake. The authenticity of the following "
    "error cannot be verified: {}"
)


def _caused(by: Exception) -> Exception:
    error = errors.OperationalError(2003, "Can't connect to MySQL server on 'db'")
    error.__cause__ = by
    return error  # type: ignore[no-any-return]


class _Numbered(Exception):  # noqa: N818
    """As of drivers whose errors have their number in an attribute alone."""

    def __init__(self, errno: int, text: str) -> None:
        super().__init__(text)
        self.errno = errno


UNREACHABLE = [
    errors.OperationalError(2003, "Can't connect to MySQL server on 'db' ([Errno 111] refused)"),
    errors.OperationalError(2003, "Can't connect to MySQL server on 'db' (timed out)"),
    errors.OperationalError(2003, "Can't connect to server ([SSL: UNEXPECTED_EOF_WHILE_READING])"),
    errors.OperationalError(2005, "Unknown server host 'db' (-2)"),
    errors.OperationalError(2013, "Lost connection to MySQL server during query"),
    errors.OperationalError(2026, "TLS/SSL error: unexpected eof while reading"),
    errors.OperationalError(1053, "Server shutdown in progress"),
    errors.OperationalError(2002, QUOTES.format("1053 - Server shutdown in progress")),
    _Numbered(2003, "Can't connect to server on 'db' (111)"),
    _Numbered(-1, "MySQL Connection not available"),
    ConnectionRefusedError(111, "Connection refused"),
    TimeoutError(),
    socket.gaierror(-2, "Name or service not known"),
    asyncio.IncompleteReadError(b"", 4),
    ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
    _caused(ConnectionResetError(104, "Connection reset by peer")),
]
ANSWERS = [
    errors.OperationalError(1045, "Access denied for user 'app'@'h' (using password: YES)"),
    errors.OperationalError(1040, "Too many connections"),
    errors.OperationalError(1049, "Unknown database 'x'"),
    errors.OperationalError(2002, QUOTES.format("1040 - Too many connections")),
    errors.OperationalError(2003, "Can't connect ([SSL: CERTIFICATE_VERIFY_FAILED] x)"),
    errors.OperationalError(2003, "Can't connect ([SSL: WRONG_VERSION_NUMBER] wrong version)"),
    errors.OperationalError(2026, "SSL is required but the server doesn't support it"),
    errors.OperationalError(2026, "TLS/SSL error: unable to get local issuer certificate"),
    errors.OperationalError(2059, "Authentication plugin 'x' cannot be loaded"),
    _Numbered(2026, "TLS/SSL error: Validation of SSL server certificate failed"),
    _caused(ssl.SSLCertVerificationError("certificate verify failed: Hostname mismatch")),
    ssl.SSLCertVerificationError("certificate verify failed: unable to get local issuer"),
    ConfigError("host 'x' cannot be used"),
    PermissionError(2013, "an operating system's number is none of MySQL's"),
]
READ_ONLY = [
    errors.OperationalError(1290, MARIADB.format("--read-only")),
    errors.OperationalError(1290, MYSQL.format("--read-only")),
    errors.OperationalError(1290, MYSQL.format("--super-read-only")),
    errors.InternalError(1836, "Running in read-only mode"),
    _Numbered(1290, MARIADB.format("--read-only")),
]
OTHERS = [
    errors.OperationalError(1290, MYSQL.format("--secure-file-priv")),
    errors.OperationalError(1290, MYSQL.format("--skip-grant-tables")),
    errors.OperationalError(1792, "Cannot execute statement in a READ ONLY transaction"),
    errors.OperationalError(1142, "INSERT command denied to user 'app'@'h' for table 't'"),
    PermissionError(1836, "an operating system's number is none of MySQL's"),
]


@pytest.mark.parametrize("error", UNREACHABLE, ids=repr)
def test_unreachable(error: Exception) -> None:
    """No server, or none that is up: another attempt may find it."""
    assert RULES.is_unreachable(error)


@pytest.mark.parametrize("error", [*ANSWERS, *READ_ONLY, *OTHERS], ids=repr)
def test_an_answer(error: Exception) -> None:
    """A refused login, a certificate, a full house: others change nothing."""
    assert not RULES.is_unreachable(error)


@pytest.mark.parametrize("error", READ_ONLY, ids=repr)
def test_read_only(error: Exception) -> None:
    """By its number and, where that is of any option, the option."""
    assert RULES.is_read_only(error)


@pytest.mark.parametrize("error", [*UNREACHABLE, *ANSWERS, *OTHERS], ids=repr)
def test_not_read_only(error: Exception) -> None:
    """A user's own read-only transaction least of all."""
    assert not RULES.is_read_only(error)


def _connect(driver: str, port: int) -> Any:
    arguments = {"host": "127.0.0.1", "port": port, "user": "app"}
    connection = importlib.import_module(driver).connect(**arguments)
    return asyncio.run(_awaited(connection)) if driver in {"asyncmy", "aiomysql"} else connection


async def _awaited(connection: Any) -> Any:
    return await connection


@pytest.fixture(params=["pymysql", "asyncmy", "aiomysql", "MySQLdb", "mysql.connector", "mariadb"])
def driver(request: pytest.FixtureRequest) -> str:
    """A driver that is installed."""
    name: str = request.param
    pytest.importorskip(name, reason=f"{name} is not installed")
    return name


@pytest.fixture
def closed_port() -> int:
    """A port at which no server listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture
def closing_port() -> Iterator[int]:
    """A port whose server hangs up on everybody, as one that is being stopped."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                client.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_what_drivers_say_of_no_server(driver: str, closed_port: int) -> None:
    """Each in its own words."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        _connect(driver, closed_port)
    assert RULES.is_unreachable(caught.value), repr(caught.value)


def test_what_drivers_say_of_a_server_that_goes(driver: str, closing_port: int) -> None:
    """Each in its own words."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        _connect(driver, closing_port)
    assert RULES.is_unreachable(caught.value), repr(caught.value)
