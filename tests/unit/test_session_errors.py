"""Which errors say that no server is there, and which that it is read-only, for all drivers."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import pg8000.dbapi
import psycopg
import psycopg2
import pytest

from sqlalchemy_rds_iam import ConfigError, WaitTimeout
from sqlalchemy_rds_iam._databases.postgresql_sessions import RULES
from sqlalchemy_rds_iam.errors import RdsIamError

IN_FRONT = 'connection to server at "127.0.0.1", port 5432 failed: '


def _pg8000(code: str, text: str = "x") -> Exception:
    return pg8000.dbapi.ProgrammingError({"S": "FATAL", "C": code, "M": text})  # type: ignore[no-any-return]


def _caused(by: Exception) -> Exception:
    error = pg8000.dbapi.InterfaceError("Can't create a connection to host 127.0.0.1")
    error.__cause__ = by
    return error  # type: ignore[no-any-return]


UNREACHABLE = [
    psycopg.OperationalError(f"{IN_FRONT}Connection refused\n\tIs the server running"),
    psycopg.OperationalError(f"{IN_FRONT}FATAL:  the database system is starting up"),
    psycopg.OperationalError(f"{IN_FRONT}FATAL:  the database system is shutting down"),
    psycopg.OperationalError(f"{IN_FRONT}server closed the connection unexpectedly"),
    psycopg.OperationalError(f"{IN_FRONT}SSL SYSCALL error: EOF detected"),
    psycopg.OperationalError("failed to resolve host 'db.invalid': [Errno -2] Name or service not"),
    psycopg.errors.AdminShutdown("x"),
    psycopg.errors.CannotConnectNow("x"),
    psycopg.errors.ConnectionTimeout("connection timeout expired"),
    psycopg2.OperationalError(f"{IN_FRONT}timeout expired"),
    psycopg2.OperationalError('could not translate host name "db.invalid" to address: x'),
    psycopg2.OperationalError(
        f"{IN_FRONT}FATAL:  terminating connection due to administrator command"
    ),
    asyncpg.exceptions.CannotConnectNowError("x"),
    asyncpg.exceptions.AdminShutdownError("x"),
    asyncpg.exceptions.ConnectionDoesNotExistError("x"),
    asyncpg.exceptions.InterfaceError("connection is closed"),
    OSError("Multiple exceptions: [Errno 111] Connect call failed ('127.0.0.1', 1)"),
    ConnectionRefusedError(111, "Connection refused"),
    ConnectionResetError(104, "Connection reset by peer"),
    TimeoutError(),
    socket.gaierror(-2, "Name or service not known"),
    _pg8000("57P03"),
    _pg8000("57P01"),
    _caused(ConnectionRefusedError(111, "Connection refused")),
    _caused(socket.gaierror(-3, "Temporary failure in name resolution")),
    _caused(TimeoutError("timed out")),
    RdsIamError("cannot look up the address of 'db': Name or service not known"),
    WaitTimeout("DNS did not answer"),
]
ANSWERS = [
    psycopg.OperationalError(f'{IN_FRONT}FATAL:  PAM authentication failed for user "app"'),
    psycopg.OperationalError(f'{IN_FRONT}FATAL:  password authentication failed for user "app"'),
    psycopg.OperationalError(f'{IN_FRONT}FATAL:  database "app" does not exist'),
    psycopg.OperationalError(f"{IN_FRONT}FATAL:  sorry, too many clients already"),
    psycopg.OperationalError(f"{IN_FRONT}FATAL:  no pg_hba.conf entry for host, no encryption"),
    psycopg.OperationalError(f"{IN_FRONT}SSL error: certificate verify failed"),
    psycopg2.OperationalError(f'{IN_FRONT}server certificate for "a" does not match host name "b"'),
    psycopg2.OperationalError(f"{IN_FRONT}root certificate file does not exist"),
    # Of a name with two addresses.
    psycopg.OperationalError(
        f"{IN_FRONT}Connection refused\n{IN_FRONT}SSL error: certificate verify failed"
    ),
    asyncpg.exceptions.InvalidPasswordError("x"),
    asyncpg.exceptions.InvalidAuthorizationSpecificationError("x"),
    asyncpg.exceptions.InvalidCatalogNameError("x"),
    asyncpg.exceptions.TooManyConnectionsError("x"),
    ssl.SSLCertVerificationError("certificate verify failed: unable to get local issuer"),
    ssl.SSLCertVerificationError("Hostname mismatch, certificate is not valid for 'db'."),
    _pg8000("28000"),
    _pg8000("28P01"),
    _pg8000("3D000"),
    _pg8000("53300"),
    # PgBouncer's "no such user", and the like.
    _pg8000("08P01"),
    _pg8000("08004"),
    _caused(ssl.SSLCertVerificationError("certificate verify failed")),
    ConfigError("host 'x' cannot be used"),
    ValueError("x"),
]
READ_ONLY = [
    psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT in a read-only transaction"),
    asyncpg.exceptions.ReadOnlySQLTransactionError("cannot execute INSERT"),
    _pg8000("25006", "cannot execute INSERT in a read-only transaction"),
    psycopg.errors.FeatureNotSupported("cannot use serializable mode in a hot standby"),
    _pg8000("0A000", "cannot set transaction read-write mode during recovery"),
]
OTHERS = [
    psycopg.errors.FeatureNotSupported("cached plan must not change result type"),
    psycopg.errors.InFailedSqlTransaction("current transaction is aborted"),
    psycopg.errors.InsufficientPrivilege("permission denied for table t"),
    asyncpg.exceptions.UniqueViolationError("x"),
    _pg8000("23505"),
]


@pytest.mark.parametrize("error", UNREACHABLE, ids=repr)
def test_unreachable(error: Exception) -> None:
    """No server, or none that is up: another attempt may find it."""
    assert RULES.is_unreachable(error)


@pytest.mark.parametrize("error", [*ANSWERS, *READ_ONLY, *OTHERS], ids=repr)
def test_an_answer(error: Exception) -> None:
    """A refused login, a certificate, a wish that cannot be met: others change nothing."""
    assert not RULES.is_unreachable(error)


@pytest.mark.parametrize("error", READ_ONLY, ids=repr)
def test_read_only(error: Exception) -> None:
    """By its SQLSTATE, or the words of a standby."""
    assert RULES.is_read_only(error)


@pytest.mark.parametrize("error", [*UNREACHABLE, *ANSWERS, *OTHERS], ids=repr)
def test_not_read_only(error: Exception) -> None:
    """All else is none of it."""
    assert not RULES.is_read_only(error)


def _connect_asyncpg(port: int) -> Any:
    return asyncio.run(asyncpg.connect(host="127.0.0.1", port=port, user="app", ssl=False))


DRIVERS: dict[str, Callable[[int], Any]] = {
    "psycopg": lambda port: psycopg.connect(host="127.0.0.1", port=port, user="app"),
    "psycopg2": lambda port: psycopg2.connect(host="127.0.0.1", port=port, user="app"),
    "asyncpg": _connect_asyncpg,
    "pg8000": lambda port: pg8000.dbapi.connect("app", host="127.0.0.1", port=port),
}


@pytest.fixture
def closed_port() -> int:
    """A port at which no server listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture
def closing_port() -> Iterator[int]:
    """A port whose server hangs up on everybody, in the middle of a login."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                client.recv(8)
                client.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_drivers_say_of_no_server(driver: str, closed_port: int) -> None:
    """Each in its own words."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        DRIVERS[driver](closed_port)
    assert RULES.is_unreachable(caught.value), repr(caught.value)


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_drivers_say_of_a_server_that_goes(driver: str, closing_port: int) -> None:
    """Each in its own words."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        DRIVERS[driver](closing_port)
    assert RULES.is_unreachable(caught.value), repr(caught.value)
