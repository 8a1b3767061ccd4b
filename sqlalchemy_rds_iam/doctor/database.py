"""In the database: one more login, by the driver through the plugin, and a look around.

Nothing is changed, and what is looked at is open to every user: the catalogue and the settings.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from sqlalchemy import Engine, RowMapping, text
from sqlalchemy.exc import SQLAlchemyError

from sqlalchemy_rds_iam._databases.postgresql_grants import quoted
from sqlalchemy_rds_iam._databases.postgresql_sessions import RULES
from sqlalchemy_rds_iam.doctor import driver_failure, secret_failure, writer
from sqlalchemy_rds_iam.doctor.advice import SESSIONS, sql
from sqlalchemy_rds_iam.doctor.findings import Command, Finding, note, ok, warning
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.wire import CLEARTEXT

# Of the sessions of other users pg_stat_activity shows no backend_type, and pg_stat_database counts
# them all. Ours of a moment ago, which may still be ending, are not counted.
_LOOK = text(f"""
SELECT session.*, current_user AS who,
  current_setting('server_version') AS version,
  coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS encrypted,
  extract(epoch FROM clock_timestamp())::float8 AS clock,
  current_setting('max_connections')::int AS most,
  current_setting('superuser_reserved_connections')::int
    + coalesce(current_setting('reserved_connections', true), '0')::int
    + coalesce(nullif(current_setting('rds.rds_superuser_reserved_connections', true), ''),
        '0')::int AS reserved,
  (SELECT sum(numbackends) FROM pg_stat_database)::int AS taken,
  (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS user_most,
  (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user
    AND coalesce(backend_type, '') IN ('', 'client backend'))::int AS user_taken,
  current_database() AS database,
  (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS database_most,
  (SELECT numbackends FROM pg_stat_database WHERE datname = current_database())::int
    AS database_taken,
  (SELECT count(*) FROM pg_stat_activity
    WHERE pid = pg_backend_pid() OR application_name = 'rds-iam doctor')::int AS own,
  coalesce((SELECT pg_has_role(current_user, oid, 'member') FROM pg_roles
    WHERE rolname = 'rds_iam'), false) AS uses_iam,
  coalesce((SELECT pg_has_role(current_user, oid, 'member') FROM pg_roles
    WHERE rolname = 'rds_superuser'), false) AS powerful,
  (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS almighty
FROM ({RULES.question}) AS session(standby, read_only, by_user)
""")  # noqa: S608 - the family's own SQL
_FULL = 0.9
_POOL_SIZE, _MAX_OVERFLOW = 5, 10
"""SQLAlchemy's own, where the application says nothing."""


def examine(state: State) -> Iterator[Finding]:
    """Connect as the application does, and look at user, TLS and limits."""
    assert state.engine is not None
    engine = state.engine
    state.logins += 1
    try:
        seen = _look(engine)
    except (SQLAlchemyError, OSError) as error:
        if state.secret is not None:
            yield secret_failure.explained(state, error)
            return
        found = driver_failure.examine(state, error, lambda: _look(engine))
        yield from found.findings
        if found.seen is None:
            return
        seen = found.seen
    state.logged_in = True
    yield from _look_around(state, seen)


def _look_around(state: State, seen: RowMapping) -> Iterator[Finding]:
    assert state.engine is not None
    where = "it takes writes"
    if seen["standby"]:
        where = "a replica, which only reads"
    elif seen["read_only"]:
        where = "no replica, and sessions are read-only by default"
    yield ok(
        f"PostgreSQL {seen['version']}, as {seen['who']!r} through {state.engine.dialect.driver}",
        f"role       {where}",
        f"TLS        {'ends at the server' if seen['encrypted'] else 'ends before the server'}",
        f"sessions   {seen['taken']} of {seen['most']}, of which {seen['reserved']} are reserved",
    )
    yield from writer.examine(state, seen)
    if state.secret is None:
        yield from _membership(state, seen)
    yield from _limits(state, seen)
    skew = seen["clock"] - time.time()
    if abs(skew) > 60:  # noqa: PLR2004  a minute, which no login or network explains
        yield note(f"the database's clock is {skew:+.0f} s off this machine's")


def _look(engine: Engine) -> RowMapping:
    if not engine.dialect.is_async:
        try:
            with engine.connect() as connection:
                return connection.execute(_LOOK).mappings().one()
        finally:
            engine.dispose()

    from sqlalchemy.ext.asyncio import AsyncEngine  # it needs greenlet, which this engine has

    async def look() -> RowMapping:
        through = AsyncEngine(engine)
        try:
            async with through.connect() as connection:
                return (await connection.execute(_LOOK)).mappings().one()
        finally:
            await through.dispose()

    return asyncio.run(look())


def _membership(state: State, seen: RowMapping) -> Iterator[Finding]:
    if seen["powerful"] or seen["almighty"]:
        power = "a superuser" if seen["almighty"] else "a member of rds_superuser"
        yield warning(
            "user-powerful",
            f"{seen['who']!r} is {power}: an attacker in the application has the whole database",
            why="a member of rds_iam cannot log in by password, not even the master user, so a "
            "mistake in IAM shuts every user out",
            fix="Give the application a user of its own",
            commands=(sql("CREATE USER app IN ROLE rds_iam;"),),
        )
    if not seen["uses_iam"] and not state.settled.host.is_proxy and state.method == CLEARTEXT:
        yield note(
            f"{seen['who']!r} is not a member of rds_iam, and logged in by token all the same"
        )


def _limits(state: State, seen: RowMapping) -> Iterator[Finding]:
    who, database, own = seen["who"], seen["database"], seen["own"]
    free = seen["most"] - seen["reserved"]
    limits: list[tuple[str, int, int, list[Command]]] = [("the server", free, seen["taken"], [])]
    if seen["user_most"] >= 0 and not seen["almighty"]:
        limit = sql(f"ALTER ROLE {quoted(who)} CONNECTION LIMIT -1;")
        limits.append((f"user {who!r}", seen["user_most"], seen["user_taken"], [limit]))
    if seen["database_most"] >= 0 and not seen["almighty"]:
        limit = sql(f"ALTER DATABASE {quoted(database)} CONNECTION LIMIT -1;")
        taken = seen["database_taken"]
        limits.append((f"database {database!r}", seen["database_most"], taken, [limit]))
    for whose, most, all_taken, more in limits:
        taken = max(0, all_taken - own)
        # With one more, the doctor's own.
        if taken and taken + 1 >= _FULL * most:
            yield warning(
                "connections-scarce",
                f"other sessions have {taken} of the {most} connections of {whose}",
                fix="Close what is idle, make pools smaller, or raise the limit",
                commands=(SESSIONS, *more),
            )
    size = state.keywords.get("pool_size", _POOL_SIZE)
    overflow = state.keywords.get("max_overflow", _MAX_OVERFLOW)
    smallest = min(most for _, most, _, _ in limits)
    if "poolclass" not in state.keywords and isinstance(size, int) and size + overflow > smallest:
        yield warning(
            "pool-too-large",
            f"the pool may open {size + overflow} connections, and the limit is {smallest}",
            why="every process has a pool of its own",
            fix="Make pool_size + max_overflow, times the number of processes, smaller than that",
        )
