"""In the database: one more login, by the driver through the plugin, and a look around.

Nothing is changed, and what is looked at is open to every user.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from sqlalchemy_rds_iam.doctor import driver_failure, manners, secret_failure, writer
from sqlalchemy_rds_iam.doctor.findings import Finding, note, ok
from sqlalchemy_rds_iam.doctor.manner import Seen
from sqlalchemy_rds_iam.doctor.state import State


def examine(state: State) -> Iterator[Finding]:
    """Connect as the application does, and look at user, TLS and limits."""
    assert state.engine is not None
    engine, inside = state.engine, threading.Event()

    def look(connection: Connection) -> Seen:
        inside.set()
        return manners.of(state).look(connection)

    state.logins += 1
    try:
        seen = _look(engine, look)
    except Exception as error:
        # Before the session a driver may raise anything, such as of an argument it does not know.
        if inside.is_set() and not isinstance(error, SQLAlchemyError | OSError):
            raise
        if state.secret is not None:
            yield secret_failure.explained(state, error)
            return
        found = driver_failure.examine(state, error, lambda: _look(engine, look))
        yield from found.findings
        if found.seen is None:
            return
        seen = found.seen
    state.logged_in = True
    yield from _look_around(state, seen)


def _look_around(state: State, seen: Seen) -> Iterator[Finding]:
    assert state.engine is not None
    where = "it takes writes"
    if seen["standby"]:
        where = "a replica, which only reads"
    elif seen["read_only"]:
        where = "no replica, and sessions are read-only by default"
    who = f"{seen['who']!r} through {state.engine.dialect.driver}"
    yield ok(
        f"{state.title} {seen['version']}, as {who}",
        f"role       {where}",
        f"TLS        {'ends at the server' if seen['encrypted'] else 'ends before the server'}",
        f"sessions   {seen['sessions']}",
    )
    yield from writer.examine(state, seen)
    yield from manners.of(state).look_around(state, seen)
    skew = seen["clock"] - time.time()
    if abs(skew) > 60:  # noqa: PLR2004  a minute, which no login or network explains
        yield note(f"the database's clock is {skew:+.0f} s off this machine's")


def _look(engine: Engine, look: Callable[[Connection], Seen]) -> Seen:
    if not engine.dialect.is_async:
        try:
            with engine.connect() as connection:
                return look(connection)
        finally:
            engine.dispose()

    from sqlalchemy.ext.asyncio import AsyncEngine  # it needs greenlet, which this engine has

    async def connected() -> Seen:
        through = AsyncEngine(engine)
        try:
            async with through.connect() as connection:
                return await connection.run_sync(look)
        finally:
            await through.dispose()

    return asyncio.run(connected())
