"""A process whose modules gevent or eventlet has patched, and which does what tests ask it for.

It serves requests over TCP, each in a thread of its own, which is a greenlet there: so one can be
asked for something else while a connect waits, and answers only if its hub goes on.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before anything else is imported, as their documentation asks for
    if sys.argv[1] == "gevent":
        import gevent.monkey

        gevent.monkey.patch_all()
        import psycogreen.gevent

        psycogreen.gevent.patch_psycopg()
    else:
        import warnings

        with warnings.catch_warnings(action="ignore"):  # it says that it is deprecated
            import eventlet

        eventlet.monkey_patch()

import contextlib
import json
import os
import socket
import socketserver
import threading
import traceback
from collections.abc import Callable
from functools import cache
from typing import Any

from inside import Inside
from patience import DEADLINE
from sqlalchemy import Engine, NullPool, QueuePool, create_engine

from sqlalchemy_rds_iam import rds_iam_stats


@cache
def engine(url: str, pool: str = "NullPool") -> Engine:
    """The one engine of a URL."""
    kinds = {"NullPool": NullPool, "QueuePool": QueuePool}
    return create_engine(url, poolclass=kinds[pool])


def ping() -> str:
    """Answer."""
    return "pong"


def log_in(url: str, pool: str = "NullPool") -> Any:
    """Connect, and ask something; its answer."""
    with engine(url, pool).connect() as connection:
        return connection.exec_driver_sql("select 1").scalar()


def storm(url: str, connects: int) -> list[Any]:
    """What comes of so many connects at once: an answer, or the error."""
    start, results = threading.Barrier(connects), []
    engine(url)

    def connect() -> None:
        try:
            start.wait(DEADLINE)
            results.append(log_in(url))
        except Exception as error:  # noqa: BLE001  (the test judges it)
            results.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=connect) for _ in range(connects)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    return results


def key(url: str) -> str | None:
    """The id of the key that signs, if there is one yet."""
    return getattr(Inside(engine(url)).credentials, "access_key", None)


def grow_stale(url: str) -> None:
    """Let what is in hand have to be renewed, and tokens have to be signed anew."""
    inside = Inside(engine(url))
    inside.cache._cached.stale_at = float("-inf")
    inside.entry.token = None


def waiting(url: str) -> int:
    """How many connects wait for their turn."""
    return sum(endpoint.waiting for endpoint in rds_iam_stats(engine(url)).endpoints)


def limit(seconds: float) -> None:
    """Let drivers have so long to connect."""
    from sqlalchemy_rds_iam._databases import dialing

    dialing.CONNECT_LIMIT = seconds


def dispose(url: str) -> list[int]:
    """Fill a pool, dispose of it, and connect again; the connections in it each time."""
    pooled = engine(url, "QueuePool")
    with pooled.connect(), pooled.connect():
        pass
    counts = [pooled.pool.checkedin()]  # type: ignore[attr-defined]
    pooled.dispose()
    counts.append(pooled.pool.checkedin())  # type: ignore[attr-defined]
    log_in(url, "QueuePool")
    counts.append(pooled.pool.checkedin())  # type: ignore[attr-defined]
    return counts


def fork(url: str) -> int:
    """Connect in a forked process, after all is forgotten; its exit code."""
    child = os.fork()
    if child == 0:
        try:
            if sys.argv[1] == "eventlet":
                import eventlet.hubs

                eventlet.hubs.use_hub()  # as Gunicorn's worker does
            Inside(engine(url)).forget()
            os._exit(0 if log_in(url) == 1 else 1)
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        request = json.loads(self.rfile.readline())
        work: Callable[..., Any] = globals()[request.pop("do")]
        try:
            answer = {"result": work(**request)}
        except Exception as error:  # noqa: BLE001  (the test judges it)
            answer = {"error": f"{type(error).__name__}: {error}"}
        with contextlib.suppress(BrokenPipeError):  # a test that has failed waits no more
            self.wfile.write(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    socketserver.ThreadingTCPServer.daemon_threads = True
    socketserver.ThreadingTCPServer.request_queue_size = 32
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Handler) as server:
        print(server.server_address[1], flush=True)  # noqa: T201
        assert isinstance(server.socket, socket.socket)
        server.serve_forever()
