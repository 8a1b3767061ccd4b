"""What the SQL and the servers of each family call what tests ask them for."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest


class Words(NamedTuple):
    """The words of one family.

    Attributes:
        family: its name.
        sync: the sync driver that most users have, as URLs begin; likewise `asynchronous`.
        asynchronous: see `sync`.
        user: the query for the user who is logged in.
        who: the query for the user and the database, as ``user@database``.
        session: the query for what tells a server's sessions from each other.
        sleep: makes the statement that takes so many seconds.
        refused: what the server says of a password that it does not take.
        port: where servers listen by default.
        starting: what `Knobs.answer` takes for a server that is not ready, which is no refusal.
        throttled: what it takes for a proxy that is asked too often.
        new_password: makes the statement that gives a user another password.
        enter: makes the statement that lets a user into a database.
        may_read: makes the statements that let a user read the database ``app``, and no more.
        end_sessions: makes the statement that ends all sessions of a user.
        drop_database: makes the statement that drops a database that may be in use.
        columns: makes the query for the columns of a table in a database, and whose it is.
        open: a database that every user may enter.
        home: the database of secrets that say nothing else.
        open_table: makes a table for failovers, which all users of its database may write to.
        standby: the expression that is true on a standby.
        is_standby: what a server is that is one, in words.
        was_writer: what one is that was a writer, and is read-only.
        read_only: what a server says of a write when it has become read-only.
    """

    family: str
    sync: str
    asynchronous: str
    user: str
    who: str
    session: str
    sleep: Callable[[float], str]
    refused: str
    port: int
    starting: tuple[str | int, ...]
    throttled: tuple[str | int, ...]
    new_password: Callable[[str, str], str]
    enter: Callable[[str, str], str]
    may_read: Callable[[str], list[str]]
    end_sessions: Callable[[str], str]
    drop_database: Callable[[str], str]
    columns: Callable[[str, str], str]
    open: str
    home: str
    open_table: tuple[str, ...]
    standby: str
    is_standby: str
    was_writer: str
    read_only: str


POSTGRESQL = Words(
    "postgresql",
    "postgresql+psycopg",
    "postgresql+asyncpg",
    user="select current_user",
    who="select current_user || '@' || current_database()",
    session="select pg_backend_pid()",
    sleep=lambda seconds: f"select pg_sleep({seconds})",
    refused="authentication failed",
    port=5432,
    starting=("57P03", "the database system is starting up"),
    throttled=(
        "53300",
        "The IAM authentication failed because of too many competing requests.",
    ),
    new_password=lambda user, password: f"ALTER ROLE {user} PASSWORD '{password}'",
    enter=lambda user, database: f"GRANT CONNECT ON DATABASE {database} TO {user}",
    may_read=lambda user: [
        f"ALTER ROLE {user} SET default_transaction_read_only = on",
        # All of them, so that nothing but being a reader keeps it from writing.
        f"ALTER DEFAULT PRIVILEGES FOR ROLE app GRANT ALL ON TABLES TO {user}",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE app GRANT ALL ON SEQUENCES TO {user}",
    ],
    end_sessions=lambda user: (
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{user}'"
    ),
    drop_database=lambda name: f"DROP DATABASE {name} WITH (FORCE)",
    columns=lambda _, table: (
        "SELECT column_name, tableowner FROM information_schema.columns JOIN pg_tables "
        f"ON tablename = table_name WHERE table_name = '{table}'"
    ),
    open="postgres",
    home="postgres",
    open_table=("CREATE TABLE {} (n bigint PRIMARY KEY)", "GRANT ALL ON {} TO PUBLIC"),
    standby="pg_is_in_recovery()",
    is_standby="a standby",
    was_writer="read-only by its own settings",
    read_only="read-only transaction",
)

_ACCOUNT = "substring_index(current_user(), '@', 1)"  # without the hosts that it may come from

MYSQL = Words(
    "mysql",
    "mysql+pymysql",
    "mysql+asyncmy",
    user=f"select {_ACCOUNT}",
    who=f"select concat({_ACCOUNT}, '@', database())",
    session="select connection_id()",
    sleep=lambda seconds: f"select sleep({seconds})",
    refused="Access denied",
    port=3306,
    starting=(1053, "08S01", "Server shutdown in progress"),
    throttled=(1040, "HY000", "IAM authentication rate limit exceeded"),
    new_password=lambda user, password: f"ALTER USER '{user}'@'%' IDENTIFIED BY '{password}'",
    enter=lambda user, database: f"GRANT ALL ON {database}.* TO '{user}'@'%'",
    may_read=lambda user: [f"GRANT SELECT ON app.* TO '{user}'@'%'"],
    end_sessions=lambda user: f"KILL USER {user}",
    drop_database=lambda name: f"DROP DATABASE {name}",
    # Tables of MySQL have no owner.
    columns=lambda database, table: (
        "SELECT column_name, '' FROM information_schema.columns "
        f"WHERE table_schema = '{database}' AND table_name = '{table}'"
    ),
    open="information_schema",
    home="test",
    open_table=("CREATE TABLE {} (n bigint PRIMARY KEY)",),
    standby="@@GLOBAL.read_only",
    is_standby="read-only, as a replica is",
    was_writer="read-only, as a replica is",
    read_only="--read-only option",
)

_FAMILIES = {"postgresql": POSTGRESQL, "mysql": MYSQL, "mariadb": MYSQL}


def words_of(drivername: str) -> Words:
    """The words of the family that a URL's driver belongs to."""
    return _FAMILIES[drivername.partition("+")[0]]


BOTH = pytest.mark.parametrize("family", ["postgresql", "mysql"], indirect=True)
"""For tests that connect with a driver of their own choice: one of each family."""
