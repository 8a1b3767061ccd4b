"""In the database: one more login, by the driver through the plugin, and a look around.

Nothing is changed, and what is looked at is open to every user: the catalogue and the settings.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import time
from collections.abc import Iterator

from sqlalchemy import Engine, RowMapping, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from sqlalchemy_rds_iam.doctor.advice import SESSIONS
from sqlalchemy_rds_iam.doctor.findings import Finding, note, ok, problem, warning
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.wire import CLEARTEXT

_LOOK = text("""
SELECT current_user AS who,
  current_setting('server_version') AS version,
  coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS encrypted,
  pg_is_in_recovery() AS replica,
  extract(epoch FROM clock_timestamp())::float8 AS clock,
  current_setting('max_connections')::int AS most,
  current_setting('superuser_reserved_connections')::int
    + coalesce(current_setting('reserved_connections', true), '0')::int
    + coalesce(nullif(current_setting('rds.rds_superuser_reserved_connections', true), ''),
        '0')::int AS reserved,
  (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int AS taken,
  (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS user_most,
  (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user)::int AS user_taken,
  (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS database_most,
  coalesce((SELECT pg_has_role(current_user, oid, 'member') FROM pg_roles
    WHERE rolname = 'rds_iam'), false) AS uses_iam,
  coalesce((SELECT pg_has_role(current_user, oid, 'member') FROM pg_roles
    WHERE rolname = 'rds_superuser'), false) AS powerful,
  (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS almighty
""")
_FULL = 0.9
_NOTED = 12
"""Lines of an error's notes that are shown."""
_POOL_SIZE, _MAX_OVERFLOW = 5, 10
"""SQLAlchemy's own, where the application says nothing."""
_LIBPQ = ("PGCHANNELBINDING", "PGHOSTADDR", "PGOPTIONS", "PGREQUIREAUTH", "PGSERVICE")


def examine(state: State) -> Iterator[Finding]:
    """Connect as the application does, and look at user, TLS and limits."""
    assert state.engine is not None
    state.logins += 1
    try:
        seen = _look(state.engine)
    except (SQLAlchemyError, OSError) as error:
        yield (_failed if state.secret is None else _failed_with_secret)(state, error)
        return
    state.logged_in = True
    where = "a replica, which reads only" if seen["replica"] else "it takes writes"
    yield ok(
        f"PostgreSQL {seen['version']}, as {seen['who']!r} through {state.engine.dialect.driver}",
        f"role       {where}",
        f"TLS        {'ends at the server' if seen['encrypted'] else 'ends before the server'}",
        f"sessions   {seen['taken']} of {seen['most']}, of which {seen['reserved']} are reserved",
    )
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
            f"{seen['who']!r} is {power}: who gets the application gets the database",
            why="as a member of rds_iam it cannot log in by password any more, the master user "
            "included, so a mistake in IAM locks everybody out",
            fix="Give the application a user of its own",
            commands=("CREATE USER app; GRANT rds_iam TO app;",),
        )
    if not seen["uses_iam"] and not state.settled.host.is_proxy and state.method == CLEARTEXT:
        yield note(f"{seen['who']!r} is no member of rds_iam, and logged in by token all the same")


def _limits(state: State, seen: RowMapping) -> Iterator[Finding]:
    free = seen["most"] - seen["reserved"]
    limits = [("the server", free, seen["taken"])]
    if seen["user_most"] >= 0:
        limits.append((f"user {seen['who']!r}", seen["user_most"], seen["user_taken"]))
    if seen["database_most"] >= 0:
        limits.append(("the database", seen["database_most"], seen["taken"]))
    for whose, most, taken in limits:
        if taken >= _FULL * most:
            yield warning(
                "connections-scarce",
                f"{taken} of the {most} connections of {whose} are taken",
                fix="Close what is idle, or make pools smaller",
                commands=(SESSIONS,),
            )
    size = state.keywords.get("pool_size", _POOL_SIZE)
    overflow = state.keywords.get("max_overflow", _MAX_OVERFLOW)
    smallest = min(most for _, most, _ in limits)
    if "poolclass" not in state.keywords and isinstance(size, int) and size + overflow > smallest:
        yield warning(
            "pool-too-large",
            f"the pool may open {size + overflow} connections, and there are {smallest}",
            why="every process has a pool of its own on top",
            fix="Make pool_size + max_overflow, times the number of processes, smaller than that",
        )


def _words(error: Exception) -> list[str]:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return str(cause).strip().splitlines() or [type(cause).__name__]


def _failed_with_secret(state: State, error: Exception) -> Finding:
    first, *more = _words(error)
    notes = [line.strip() for note in getattr(error, "__notes__", ()) for line in note.splitlines()]
    return problem(
        "secret-login-failed",
        f"no login with the secret {state.secret!r}: {first}",
        evidence=(*more[:3], *notes[:_NOTED]),
        fix="See what is said, and which versions the secret has",
        commands=(
            f"aws secretsmanager describe-secret --secret-id {shlex.quote(state.secret or '')}",
        ),
    )


def _failed(state: State, error: Exception) -> Finding:
    lines = _words(error)
    found = [f"{name} is set" for name in _LIBPQ if os.environ.get(name)]
    assert state.engine is not None
    return problem(
        "driver-failed",
        f"the server lets this user in, but not through {state.engine.dialect.driver}: {lines[0]}",
        evidence=(*lines[1:4], *found),
        fix="Look at connect_args, at the driver's environment variables, and at listeners of "
        "your own",
        regardless=True,
    )
