"""The SQL that lets a user of PostgreSQL log in by token. Pure; nothing here is executed.

Source: "Creating a database account using IAM authentication" in the RDS user guide, and for RDS
Proxy "Connecting to a database using IAM authentication" there.
"""

from __future__ import annotations

from sqlalchemy_rds_iam._databases.grants import Grants
from sqlalchemy_rds_iam._databases.user_names import kept
from sqlalchemy_rds_iam._endpoints.hostname import HostName
from sqlalchemy_rds_iam.errors import ConfigError

LONGEST_NAME = 63
"""Bytes of a name that PostgreSQL keeps (``NAMEDATALEN`` - 1, "Identifiers and Key Words")."""


def grants(user: str, database: str | None, host: HostName) -> Grants:
    """The statements for `user`, to be run by the master user.

    Args:
        user: as in the URL; its case counts from then on.
        database: a database that the user is to connect to, if any.
        host: the endpoint that the user is going to use.

    Raises:
        ConfigError: PostgreSQL knows no such name.
    """
    role = quoted(_name(user))
    statements = [f"CREATE USER {role}"]
    notes = [
        "Run as the master user, or another member of rds_superuser.",
        "If the user exists already, leave out the first line.",
    ]
    if host.is_proxy:
        notes += [
            "The endpoint is an RDS Proxy. If the proxy logs in by IAM itself (its default",
            "authentication scheme is IAM), the user needs: GRANT rds_iam",
            "If it logs in with a password from Secrets Manager, give the user that password, and",
            "do not grant rds_iam, which would shut the proxy out.",
        ]
    else:
        statements.append(membership(user))
        notes.append("From then on this user logs in by token only; a password counts no more.")
    if host.kind == "cluster-ro":
        notes.append("The endpoint is a reader: run this at the writer, it holds for both.")
    if user != user.lower():
        notes.append("The name has capital letters: keep the quotes, here and ever after.")
    if database is not None:
        statements.append(f"GRANT CONNECT ON DATABASE {quoted(_name(database))} TO {role}")
    notes.append("What the user may do with tables is for you to grant.")
    return Grants(statements, notes)


def membership(user: str) -> str:
    """The one statement that makes a user log in by token."""
    return f"GRANT rds_iam TO {quoted(user)}"


def quoted(name: str) -> str:
    """A name in SQL, see "Identifiers and Key Words" in the documentation of PostgreSQL."""
    return '"' + name.replace('"', '""') + '"'


def _name(name: str) -> str:
    if "\0" in name or not name or kept(name, LONGEST_NAME) != name:
        raise ConfigError(
            f"{name!r} cannot be a name in PostgreSQL: expected 1 to {LONGEST_NAME} bytes, none of "
            "them zero"
        )
    return name
