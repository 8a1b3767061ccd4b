"""PostgreSQL: which server a session is on, and what errors say of a server that is gone.

PostgreSQL 14 and newer report ``in_hot_standby`` and ``default_transaction_read_only`` when a
session begins, and again with the next answer after either has changed ("Asynchronous Operations"
in the chapter "Frontend/Backend Protocol"). What a session may write is `read-write` in libpq's
words if both are off.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Any

from sqlalchemy_rds_iam._databases.family import chain
from sqlalchemy_rds_iam._databases.session_attrs import Reported, SessionRules

_STANDBY, _READ_ONLY = "in_hot_standby", "default_transaction_read_only"

# Who wants the default: what is left comes with the server, by its files or its parameter group.
_QUESTION = (
    "SELECT pg_catalog.pg_is_in_recovery(), setting = 'on', "
    "source IN ('session', 'user', 'database', 'database user', 'client') "
    "FROM pg_catalog.pg_settings WHERE name = 'default_transaction_read_only'"
)

# read_only_sql_transaction, and what a standby says of a session of another kind (its SQLSTATE,
# feature_not_supported, is no help): "Appendix A. PostgreSQL Error Codes".
_READ_ONLY_STATE = "25006"
_NOT_ON_A_STANDBY = (
    "cannot use serializable mode in a hot standby|"
    "cannot set transaction read-write mode during recovery"
)

# Not compiled before there is an error.
# admin_shutdown, crash_shutdown, cannot_connect_now, and connection exceptions, but for those with
# which servers and poolers turn a client down (08004, 08P01).
_GONE_STATES = "57P0[123]|0800[0136]"
# What libpq, whose errors have no SQLSTATE, says of the same, and of the network.
_GONE = (
    "terminating connection due to (?:administrator command|.*crash)|"
    "the database system is (?:starting up|shutting down|in recovery mode|not (?:yet )?accepting)|"
    "server closed the connection unexpectedly|connection (?:(?:was|is) )?(?:closed|lost)|"
    "[Cc]onnection (?:refused|reset|timed out|aborted)|[Cc]onnect call failed|Broken pipe|"
    "timeout expired|[Cc]onnection timeout|No route to host|[Nn]etwork is unreachable|"
    "Host is (?:down|unreachable)|could not translate host name|[Nn]ame or service not known|"
    "[Tt]emporary failure in name resolution|nodename nor servname|"
    "[Ff]ailed to resolve host|cannot look up the address|unexpected eof|UNEXPECTED_EOF|"
    "SSL SYSCALL error: EOF|"
    "^network error$"  # pg8000
)
_CERTIFICATE = "(?i)certificate|hostname mismatch"


def state(error: BaseException) -> str | None:
    """An error's SQLSTATE, as far as its driver has it."""
    found: Any = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if found is None and error.args and isinstance(error.args[0], dict):
        found = error.args[0].get("C")  # pg8000
    return None if found is None else str(found)


def _is_read_only(error: BaseException) -> bool:
    return any(
        state(failure) == _READ_ONLY_STATE or re.search(_NOT_ON_A_STANDBY, str(failure))
        for failure in chain(error)
    )


def _is_unreachable(error: BaseException) -> bool:
    """No server, or none that is up: not a login refused, and not a certificate."""
    found = False
    for failure in chain(error):
        text = str(failure)
        if re.search(_CERTIFICATE, text):
            return False
        if (code := state(failure)) is not None:
            return re.fullmatch(_GONE_STATES, code) is not None
        network = isinstance(failure, ConnectionError | TimeoutError | socket.gaierror | EOFError)
        found = found or network or re.search(_GONE, text) is not None
    return found


RULES = SessionRules(_QUESTION, _is_read_only, _is_unreachable)


def _by(get: Callable[[Any], Callable[[str], Any]]) -> Callable[[Any], Reported]:
    """What is reported, by a driver's own way to look at one value."""

    def reported(connection: Any) -> Reported:
        look = get(getattr(connection, "driver_connection", connection))
        return Reported(_as_switch(look(_STANDBY)), _as_switch(look(_READ_ONLY)))

    return reported


def _as_switch(value: Any) -> bool | None:
    if isinstance(value, bytes):
        value = value.decode()
    return None if value is None else value == "on"


psycopg = _by(lambda connection: connection.info.parameter_status)
psycopg2 = _by(lambda connection: connection.get_parameter_status)
asyncpg = _by(lambda connection: lambda name: getattr(connection.get_settings(), name, None))
pg8000 = _by(lambda connection: connection.parameter_statuses.get)
