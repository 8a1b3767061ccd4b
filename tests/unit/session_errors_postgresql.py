"""PostgreSQL: errors of all drivers, by what they say of the server."""

from __future__ import annotations

import socket
import ssl

import asyncpg
import pg8000.dbapi
import psycopg
import psycopg2
from session_errors import Catalogue

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
    pg8000.dbapi.InterfaceError("network error"),
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


CATALOGUE = Catalogue(RULES, UNREACHABLE, ANSWERS, READ_ONLY, OTHERS)
