"""How long a driver may take to connect: by its own argument, or by a deadline where it has none.

By default libpq and pg8000 wait as long as the network does: for ever, if a server accepts the
connection and then says nothing. What the user has set counts, and 0 is no limit in libpq.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from time import monotonic
from typing import Any, NamedTuple, Protocol

from sqlalchemy.engine import Dialect

from sqlalchemy_rds_iam import _frames
from sqlalchemy_rds_iam._concurrency import call_with_timeout, run_in_daemon_thread
from sqlalchemy_rds_iam._databases.alarms import ALARMS

CONNECT_LIMIT = 30.0
"""Seconds that a driver may take to connect, unless the password may take longer to arrive."""

_SHORTEST = 2
"""Seconds: what libpq makes of less ("connect_timeout" in the libpq chapter of PostgreSQL)."""

Connect = Callable[..., Any]
"""What opens a connection of the DBAPI: ``dialect.connect``."""


class Limit(Protocol):
    """How a driver is told for how long to try."""

    def __call__(self, given: Mapping[str, Any], seconds: float, addresses: int = 1) -> Any:
        """Make the connect arguments that say so; none where the user has set a limit.

        Args:
            given: the connect arguments as the user has them.
            seconds: the limit.
            addresses: how many addresses the driver is going to try, one after the other.
        """


def libpq(given: Mapping[str, Any], seconds: float, addresses: int = 1) -> dict[str, Any]:
    """The limit of libpq, which every address has to itself: so they share it; see `Limit`."""
    if given.get("connect_timeout") not in {None, ""} or os.environ.get("PGCONNECT_TIMEOUT"):
        return {}
    return {"connect_timeout": max(int(seconds / addresses), _SHORTEST)}


def asyncpg(given: Mapping[str, Any], seconds: float, addresses: int = 1) -> dict[str, Any]:
    """The limit of asyncpg, for the whole of a connect; see `Limit`."""
    del addresses
    return {} if "timeout" in given else {"timeout": seconds}


def none(given: Mapping[str, Any], seconds: float, addresses: int = 1) -> dict[str, Any]:
    """No argument: pg8000's ``timeout`` would go on to limit every query; see `Limit`."""
    del given, seconds, addresses
    return {}


def pg8000(dialect: Dialect, seconds: float) -> Connect:
    """Connect with pg8000 within so many seconds; its queries may take as long as they do.

    Args:
        dialect: the engine's.
        seconds: for the name, all of its addresses, TLS and the login together.
    """

    def connect(*cargs: Any, **cparams: Any) -> Any:
        if cparams.get("unix_sock"):
            return dialect.connect(*cargs, **cparams)
        dbapi: Any = dialect.loaded_dbapi
        timeout = cparams.get("timeout")

        def make(sock: socket.socket) -> Any:
            # What pg8000's connect() makes; that has no argument for a socket.
            return dbapi.Connection(*cargs, **cparams, sock=sock)

        return connected(
            make,
            Place(cparams["host"], cparams["port"], cparams.get("source_address")),
            seconds=seconds if timeout is None else None,
            problem=dbapi.InterfaceError,
            timeout=timeout,
            keepalive=cparams.get("tcp_keepalive", True),
        )

    return connect


def psycopg2(dialect: Dialect, seconds: float) -> Connect:
    """Connect with psycopg2, within the limit that libpq keeps to only while it waits by itself.

    With a wait callback, which greenlets need, psycopg2 waits outside of libpq, and for ever.

    Args:
        dialect: the engine's.
        seconds: for all of it, if neither an argument nor the environment says so.
    """
    dbapi: Any = dialect.loaded_dbapi
    if dbapi.extensions.get_wait_callback() is None:
        return dialect.connect

    def connect(*cargs: Any, **cparams: Any) -> Any:
        given = cparams.get("connect_timeout")
        if given in {None, ""}:
            given = os.environ.get("PGCONNECT_TIMEOUT") or seconds
        limit = float(given)
        where = f"{cparams['host']}:{cparams['port']}"
        waiting = [functools.partial(dialect.connect, *cargs, **cparams)]
        del cparams  # an error keeps this frame, in which no password must be found
        return in_thread(
            waiting.pop(),
            seconds=limit if limit > 0 else None,
            where=where,
            problem=dbapi.OperationalError,
        )

    return connect


def in_thread(
    connect: Callable[[], Any],
    *,
    seconds: float | None,
    where: str,
    problem: Callable[[str], Exception],
) -> Any:
    """A connection that is opened in a thread, which is waited for so long; a later one is closed.

    Args:
        connect: opens it, by a driver that cannot be interrupted.
        seconds: the limit; None for none.
        where: host and port, in messages.
        problem: makes the driver's error of what was wrong.
    """
    waiting = [connect]
    del connect  # it holds the password

    def work() -> Any:
        try:
            return waiting.pop()()
        except BaseException as error:
            # These frames are not below those of the caller, who clears his own.
            _frames.clear(error, sys._getframe(), ())  # noqa: SLF001
            raise

    future = run_in_daemon_thread(work, at_once=True)
    try:
        return future.result(seconds)
    except TimeoutError as late:
        if future.done():
            return future.result()
        future.add_done_callback(_close)
        raise problem(f"no connection to {where} within {seconds:g} s") from late
    except BaseException:  # Ctrl-C among them
        future.add_done_callback(_close)
        raise


def _close(late: Future[Any]) -> None:
    with contextlib.suppress(BaseException):
        late.result().close()


class Place(NamedTuple):
    """Where a socket leads.

    Attributes:
        host: a name or an address.
        port: of the server.
        source: address and port to connect from, if it matters.
    """

    host: str
    port: int
    source: tuple[str, int] | None = None


def connected(
    make: Callable[[socket.socket], Any],
    place: Place,
    *,
    seconds: float | None,
    problem: Callable[[str], Exception],
    timeout: float | None = None,
    keepalive: bool = True,
) -> Any:
    """A connection of a driver that takes a socket, made within so many seconds.

    The socket is made here. When the time is up it is shut down, which ends whatever waits for it,
    a server that sends a byte now and then included.

    Args:
        make: makes the connection from a socket that has no part in it if that fails.
        place: where it leads.
        seconds: for all of it; None if `timeout` is all that counts.
        problem: makes the driver's error of what was wrong.
        timeout: seconds of the socket's own, which stay with it.
        keepalive: whether the kernel probes a connection that is idle.
    """
    end = float("inf") if seconds is None else monotonic() + seconds
    where = f"{place.host}:{place.port}"
    late = f"no connection to {where} within {timeout if seconds is None else seconds:g} s"
    try:
        sock = _socket(place, end, timeout, keepalive)
    except TimeoutError as failure:
        raise problem(late) from failure
    except OSError as failure:
        raise problem(f"cannot connect to {where}: {failure}") from failure
    with _shut_down_at(end, sock) as is_late:
        try:
            connection = make(sock)
        except Exception as failure:
            sock.close()
            if is_late():
                raise problem(late) from failure
            raise
    if is_late():
        with contextlib.suppress(Exception):  # it has been shut down already
            connection.close()
        raise problem(late)
    return connection


def _socket(place: Place, end: float, timeout: float | None, keepalive: bool) -> socket.socket:
    """A TCP connection to the first address that accepts one."""
    failure: OSError = OSError("the name has no address")
    for family, kind, protocol, _, address in _addresses((place.host, place.port), end):
        remaining = timeout or end - monotonic()
        if remaining <= 0:
            raise TimeoutError from failure
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(remaining)
            if place.source:
                sock.bind(place.source)
            sock.connect(address)
            sock.settimeout(timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if keepalive:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


def _addresses(where: tuple[str, int], end: float) -> list[Any]:
    look_up = functools.partial(socket.getaddrinfo, *where, type=socket.SOCK_STREAM)
    with contextlib.suppress(socket.gaierror):
        return look_up(flags=socket.AI_NUMERICHOST)
    return call_with_timeout(min(end - monotonic(), CONNECT_LIMIT), look_up)


@contextlib.contextmanager
def _shut_down_at(end: float, sock: socket.socket) -> Iterator[Callable[[], bool]]:
    """Shut a connection down at `end`, unless the block is left before; yields whether it was."""
    if end == float("inf"):
        yield lambda: False
        return
    # TLS takes the socket over, so this is done through a second handle of the connection.
    twin, lock, over = sock.dup(), threading.Lock(), threading.Event()

    def shut_down() -> None:
        with lock, contextlib.suppress(OSError):  # it may have been closed by then
            over.set()
            twin.shutdown(socket.SHUT_RDWR)

    alarm = ALARMS.at(end, shut_down)
    try:
        yield over.is_set
    finally:
        alarm.call_off()
        with lock:
            twin.close()
