"""The SQL that lets a user of MySQL or MariaDB log in by token. Pure; nothing here is executed.

Source: "Creating a database account using IAM authentication" in the RDS user guide, and for RDS
Proxy "Connecting to a database using IAM authentication" there.
"""

from __future__ import annotations

from sqlalchemy_rds_iam._databases.grants import Grants
from sqlalchemy_rds_iam._endpoints.hostname import HostName
from sqlalchemy_rds_iam.errors import ConfigError

LONGEST_USER = 32
"""Characters of a user's name in MySQL ("User Names" in the MySQL reference manual)."""

LONGEST_USER_MARIADB = 128
"""Characters of a user's name in MariaDB ("CREATE USER" in the MariaDB documentation)."""

_LONGEST_DATABASE = 64  # characters: "Identifier Length Limits" in the MySQL reference manual

IDENTIFIED = "IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'"
"""What of an account's statement makes the server ask IAM."""


def grants(user: str, database: str | None, host: HostName, longest: int = LONGEST_USER) -> Grants:
    """The statements for `user`, to be run by the master user.

    Args:
        user: as in the URL; its case counts.
        database: a database that the user is to enter, if any.
        host: the endpoint that the user is going to use.
        longest: characters that the server keeps of a user's name.

    Raises:
        ConfigError: the server knows no such name.
    """
    who = account(_name(user, longest, "user"))
    statements = [f"CREATE USER {who} {IDENTIFIED} REQUIRE SSL"]
    notes = [
        "Run as the master user, or another user with the privilege CREATE USER.",
        "If the user exists already, write ALTER USER instead of CREATE USER.",
    ]
    if host.is_proxy:
        notes += [
            "The endpoint is an RDS Proxy. If the proxy logs in by IAM itself (its default",
            "authentication scheme is IAM), this is the user that it needs.",
            "If it logs in with a password from Secrets Manager, the user needs that password:",
            "write IDENTIFIED BY, and the password, instead of IDENTIFIED WITH … AS 'RDS'.",
        ]
    else:
        notes.append("This user logs in by token only; it has no password.")
    if host.kind == "cluster-ro":
        notes.append("The endpoint is a reader: run this at the writer, it holds for both.")
    notes.append("The name is case-sensitive, in the database and in the policy.")
    if database is not None:
        where = pattern(_name(database, _LONGEST_DATABASE, "database"))
        statements.append(f"GRANT SELECT ON {where}.* TO {who}")
        notes.append("A database can be entered with any privilege in it: SELECT is the least.")
    notes.append("What else the user may do with tables is for you to grant.")
    return Grants(statements, notes)


def account(user: str) -> str:
    """A user of any host, as SQL ("Specifying Account Names" in the MySQL reference manual)."""
    return f"{_text(user)}@'%'"


def pattern(database: str) -> str:
    """The name of a database in ``GRANT``, where ``_`` and ``%`` stand for other characters."""
    plain = "".join(f"\\{each}" if each in "\\_%" else each for each in database)
    return "`" + plain.replace("`", "``") + "`"


def _text(text: str) -> str:
    """A string in SQL ("String Literals" in the MySQL reference manual)."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _name(name: str, longest: int, kind: str) -> str:
    # Names are kept in utf8mb3, and without spaces at the end.
    unfit = any(not "\0" < each <= "\uffff" for each in name) or name != name.rstrip(" ")
    if unfit or not 0 < len(name) <= longest:
        raise ConfigError(
            f"{name!r} cannot be the name of a {kind} here: expected 1 to {longest} characters "
            "below U+10000, none of them zero, and no space at the end"
        )
    return name
