"""A session of MySQL's or MariaDB's: variables, status, the account and its grants."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from sqlalchemy_rds_iam._databases.mysql_grants import IDENTIFIED, account
from sqlalchemy_rds_iam._databases.mysql_sessions import RULES
from sqlalchemy_rds_iam._databases.session_attrs import Answered
from sqlalchemy_rds_iam.doctor.advice import sql
from sqlalchemy_rds_iam.doctor.findings import Finding, note, warning
from sqlalchemy_rds_iam.doctor.limits import Limit, compared
from sqlalchemy_rds_iam.doctor.mysql.meanings import SESSIONS
from sqlalchemy_rds_iam.doctor.state import State

Seen = Mapping[str, Any]

_VALUES = """
SELECT VERSION(), CURRENT_USER(), DATABASE(), UNIX_TIMESTAMP(), CONNECTION_ID(),
  @@GLOBAL.max_connections, @@max_user_connections
"""
_NAMES = ("version", "who", "database", "clock", "number", "most", "user_most")

# Every user may see its own account, by this name ("SHOW CREATE USER Statement").
_ACCOUNT = "SHOW CREATE USER CURRENT_USER()"
_PLUGIN = re.compile(r"IDENTIFIED (?:WITH|VIA) [`'\"]?(\w+)")
_AWS = "AWSAuthenticationPlugin"
_TLS = re.compile(r" REQUIRE (?!NONE\b)\w+")

# Without PROCESS a user sees its own sessions alone.
_OWN = """
SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = SUBSTRING_INDEX(USER(), '@', 1)
"""
# "Privileges Provided by MySQL": who has one of these on everything, has everything.
_POWERFUL = re.compile(
    r"GRANT (?=.* ON \*\.\* )(?:ALL PRIVILEGES|(?:.*, )?(?:SUPER|CREATE USER|GRANT OPTION)\b)|"
    r"`rds_superuser_role`"
)
_NOTHING = re.compile(r"GRANT USAGE ON \*\.\* ")


def look(connection: Connection) -> Seen:
    """Read it all, with a few questions."""
    ask = connection.exec_driver_sql
    seen: dict[str, Any] = dict(zip(_NAMES, ask(_VALUES).one(), strict=True))
    seen["who"] = seen["who"].rpartition("@")[0]
    seen |= Answered(*map(bool, ask(RULES.question).one()))._asdict()
    seen["encrypted"] = bool(_status(connection, "SESSION", "Ssl_version"))
    seen["taken"] = int(_status(connection, "GLOBAL", "Threads_connected") or 1)
    seen["user_taken"] = int(ask(_OWN).scalar_one())
    seen["grants"] = _rows(connection, "SHOW GRANTS")
    seen["account"] = " ".join(_rows(connection, _ACCOUNT))
    seen["sessions"] = f"{seen['taken']} of {seen['most']}"
    return seen


def look_around(state: State, seen: Seen) -> Iterator[Finding]:
    """The account, the user's power, and the limits."""
    if state.secret is None:
        yield from _account(state, seen)
    yield from _grants(seen)
    limits = [Limit("the server", int(seen["most"]), seen["taken"] - 1, (SESSIONS,))]
    if seen["user_most"]:
        name = seen["who"]
        raised = sql(f"ALTER USER {account(name)} WITH MAX_USER_CONNECTIONS 0;")
        taken = seen["user_taken"] - 1
        limits.append(Limit(f"user {name!r}", int(seen["user_most"]), taken, (SESSIONS, raised)))
    yield from compared(state, limits)


def _account(state: State, seen: Seen) -> Iterator[Finding]:
    """What the account's own statement says, where it may be read."""
    found = _PLUGIN.search(seen["account"])
    if found is None or not state.by_token or state.settled.host.is_proxy:
        return
    if found[1] != _AWS:
        yield note(
            f"{seen['who']!r} is identified with {found[1]}, and logged in by token all the same"
        )
    elif not _TLS.search(seen["account"]):
        yield note(
            f"the account {seen['who']!r} does not say REQUIRE SSL: the server would take a token "
            "in clear from another client",
            f"as AWS has it: ALTER USER … {IDENTIFIED} REQUIRE SSL",
        )


def _grants(seen: Seen) -> Iterator[Finding]:
    if any(_POWERFUL.search(grant) for grant in seen["grants"]):
        yield warning(
            "user-powerful",
            f"{seen['who']!r} may do everything, or grant it: an attacker in the application has "
            "the whole database",
            why="the master user, and a user that may create others, is for administrators",
            fix="Give the application a user of its own",
            commands=(sql(f"CREATE USER {account('app')} {IDENTIFIED} REQUIRE SSL;"),),
        )
    elif seen["grants"] and all(_NOTHING.match(grant) for grant in seen["grants"]):
        yield note(f"{seen['who']!r} has no privilege in any database")


def _status(connection: Connection, scope: str, name: str) -> str:
    row = connection.exec_driver_sql(f"SHOW {scope} STATUS LIKE '{name}'").one_or_none()
    return "" if row is None else str(row[1])


def _rows(connection: Connection, question: str) -> list[str]:
    """The first column; nothing where it may not be asked for."""
    try:
        return [str(row[0]) for row in connection.exec_driver_sql(question)]
    except DBAPIError:
        return []
