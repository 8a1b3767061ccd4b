"""MySQL and MariaDB: which server a session is on, and what errors say of a server that is gone.

Neither reports anything by itself. A replica of RDS, and a writer that has been fenced off, has
``read_only`` on, a reader of Aurora ``innodb_read_only`` (each on a page of "Server System
Variables" in the MySQL reference manual). No user has either on for itself alone: what is read-only
by its user's wish is a transaction, whose error is another one, 1792.
"""

from __future__ import annotations

import re
import socket
import ssl

from sqlalchemy_rds_iam._databases.family import chain
from sqlalchemy_rds_iam._databases.mysql_errors import CERTIFICATE, WRONG_NAME, number
from sqlalchemy_rds_iam._databases.session_attrs import SessionRules

# A number in MySQL, a word from MariaDB 12.0 on. It needs no table, so it begins no transaction.
_IS_READ_ONLY = "CAST(@@GLOBAL.read_only AS CHAR) NOT IN ('0', 'OFF') OR @@GLOBAL.innodb_read_only"
_QUESTION = f"SELECT {_IS_READ_ONLY}, {_IS_READ_ONLY}, 0"

# Patterns are not compiled before there is an error.
_READ_ONLY_MODE = 1836  # ER_READ_ONLY_MODE
# ER_OPTION_PREVENTS_STATEMENT, of any option.
_OPTION_PREVENTS = 1290
_READ_ONLY_OPTION = "--(?:super-|innodb-)?read-only"

_GONE = {
    1053,  # ER_SERVER_SHUTDOWN
    1927,  # ER_CONNECTION_KILLED
    2002,  # CR_CONNECTION_ERROR
    2003,  # CR_CONN_HOST_ERROR
    2005,  # CR_UNKNOWN_HOST
    2006,  # CR_SERVER_GONE_ERROR
    2012,  # CR_SERVER_HANDSHAKE_ERR
    2013,  # CR_SERVER_LOST
    2055,  # CR_SERVER_LOST_EXTENDED
    3032,  # ER_SERVER_OFFLINE_MODE
    3169,  # ER_SESSION_WAS_KILLED
}
# What Connector/Python says of its own, without a number.
_CLOSED = "Connection not available"
_TLS = 2026  # CR_SSL_CONNECTION_ERROR
_CUT = "(?i)unexpected.eof|eof occurred|connection (?:was )?(?:reset|closed)|errno 104"
_NOT_TRUSTED = f"{CERTIFICATE}|{WRONG_NAME}"
# What Connector/C says of an error in the greeting's place.
_QUOTED = "(?s)error packet before completion of TLS handshake.*: ([0-9]+) - "


def _is_read_only(error: BaseException) -> bool:
    return any(
        not isinstance(failure, OSError)
        and (
            number(failure) == _READ_ONLY_MODE
            or (number(failure) == _OPTION_PREVENTS and re.search(_READ_ONLY_OPTION, str(failure)))
        )
        for failure in chain(error)
    )


def _is_unreachable(error: BaseException) -> bool:
    """No server, or none that is up: not a login refused, and nothing that is wrong with TLS."""
    failures = list(chain(error))
    if any(re.search(_NOT_TRUSTED, str(failure)) for failure in failures):
        return False
    found = False
    for failure in failures:
        text = str(failure)
        if isinstance(failure, OSError | EOFError):
            found = found or isinstance(
                failure,
                ConnectionError | TimeoutError | socket.gaierror | EOFError | ssl.SSLEOFError,
            )
        elif (code := number(failure)) is not None:
            quoted = re.search(_QUOTED, text)
            code = int(quoted[1]) if quoted else code
            if code == _TLS or "[SSL:" in text:
                return re.search(_CUT, text) is not None
            return code in _GONE or _CLOSED in text
    return found


RULES = SessionRules(
    _QUESTION,
    _is_read_only,
    _is_unreachable,
    begins=False,
    may_be_users=False,
    standby="read-only, as a replica is",
)
