"""Web applications whose engine is made, and whose token is fetched, when they are imported.

A thread of theirs then holds the locks of the cache for ever, in the process that imported them.

Served by ``gunicorn --preload``: ``soak.web:application`` by sync workers, ``soak.web:asgi`` by
uvicorn's. Each answer tells the process, the database user and the id of the key that signs.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, make_url
from sqlalchemy.ext.asyncio import create_async_engine

_URL = make_url(os.environ["SOAK_URL"])

engine = create_engine(_URL, poolclass=NullPool)
async_engine = create_async_engine(
    _URL.set(drivername="postgresql+asyncpg"),
    poolclass=NullPool,
    rds_iam_credentials=os.environ.get("SOAK_CREDENTIALS", "auto"),
)


def signer(engine: Engine) -> str:
    """The id of the key that tokens of `engine` are signed with."""
    return str(_cache(engine).credentials.access_key)


def _cache(engine: Engine) -> Any:
    listener: Any = next(iter(engine.dialect.dispatch.do_connect))
    return listener.__self__.provider.caches[0]


def tell(connection: Connection) -> bytes:
    """Ask the database something, and say who asked."""
    user = connection.exec_driver_sql("select current_user").scalar()
    facts = {"pid": os.getpid(), "user": user, "key": signer(connection.engine)}
    return json.dumps(facts).encode()


def application(
    _environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    """A WSGI application."""
    with engine.connect() as connection:
        body = tell(connection)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


async def asgi(
    scope: dict[str, Any],
    _receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """An ASGI application, without a lifespan."""
    if scope["type"] != "http":
        return
    body = await _ask()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _ask() -> bytes:
    async with async_engine.connect() as connection:
        return await connection.run_sync(tell)


def _hold_locks(taken: threading.Event) -> None:
    """Hold what a thread may hold while the workers are forked; nothing here connects any more."""
    tokens = _cache(engine)
    with tokens._lock, tokens.source._lock:
        taken.set()
        threading.Event().wait()


if os.environ["SOAK_PRELOAD"] == "sync":
    with engine.connect() as _connection:
        tell(_connection)
else:
    asyncio.run(_ask())
_taken = threading.Event()
threading.Thread(target=_hold_locks, args=(_taken,), daemon=True).start()
assert _taken.wait(20)
