"""MySQL: errors of drivers, by what they say of the server."""

from __future__ import annotations

import asyncio
import socket
import ssl

from session_errors import Catalogue

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._databases.mysql_sessions import RULES

MARIADB = "The MariaDB server is running with the {} option so it cannot execute this statement"
MYSQL = MARIADB.replace("MariaDB", "MySQL")
QUOTES = (
    "Received error packet before completion of TLS handshake. The authenticity of the following "
    "error cannot be verified: {}"
)


class _Error(Exception):
    """As of most drivers: a number and a text."""


def _caused(by: Exception) -> Exception:
    error = _Error(2003, "Can't connect to MySQL server on 'db'")
    error.__cause__ = by
    return error


class _Numbered(Exception):  # noqa: N818
    """As of drivers whose errors have their number in an attribute alone."""

    def __init__(self, errno: int, text: str) -> None:
        super().__init__(text)
        self.errno = errno


UNREACHABLE = [
    _Error(2003, "Can't connect to MySQL server on 'db' ([Errno 111] refused)"),
    _Error(2003, "Can't connect to MySQL server on 'db' (timed out)"),
    _Error(2003, "Can't connect to server ([SSL: UNEXPECTED_EOF_WHILE_READING])"),
    _Error(2005, "Unknown server host 'db' (-2)"),
    _Error(2013, "Lost connection to MySQL server during query"),
    _Error(2026, "TLS/SSL error: unexpected eof while reading"),
    _Error(1053, "Server shutdown in progress"),
    _Error(2002, QUOTES.format("1053 - Server shutdown in progress")),
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
    _Error(1045, "Access denied for user 'app'@'h' (using password: YES)"),
    _Error(1040, "Too many connections"),
    _Error(1049, "Unknown database 'x'"),
    _Error(2002, QUOTES.format("1040 - Too many connections")),
    _Error(2003, "Can't connect ([SSL: CERTIFICATE_VERIFY_FAILED] x)"),
    _Error(2003, "Can't connect ([SSL: WRONG_VERSION_NUMBER] wrong version)"),
    _Error(2026, "SSL is required but the server doesn't support it"),
    _Error(2026, "TLS/SSL error: unable to get local issuer certificate"),
    _Error(2059, "Authentication plugin 'x' cannot be loaded"),
    _Numbered(2026, "TLS/SSL error: Validation of SSL server certificate failed"),
    _caused(ssl.SSLCertVerificationError("certificate verify failed: Hostname mismatch")),
    ssl.SSLCertVerificationError("certificate verify failed: unable to get local issuer"),
    ConfigError("host 'x' cannot be used"),
    PermissionError(2013, "an operating system's number is none of MySQL's"),
]
READ_ONLY = [
    _Error(1290, MARIADB.format("--read-only")),
    _Error(1290, MYSQL.format("--read-only")),
    _Error(1290, MYSQL.format("--super-read-only")),
    _Error(1836, "Running in read-only mode"),
    _Numbered(1290, MARIADB.format("--read-only")),
]
OTHERS = [
    _Error(1290, MYSQL.format("--secure-file-priv")),
    _Error(1290, MYSQL.format("--skip-grant-tables")),
    _Error(1792, "Cannot execute statement in a READ ONLY transaction"),
    _Error(1142, "INSERT command denied to user 'app'@'h' for table 't'"),
    PermissionError(1836, "an operating system's number is none of MySQL's"),
]


CATALOGUE = Catalogue(RULES, UNREACHABLE, ANSWERS, READ_ONLY, OTHERS)
