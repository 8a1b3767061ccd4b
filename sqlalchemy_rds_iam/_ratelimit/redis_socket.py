"""Connections to the rate storage that keep to a deadline for a whole call.

The redis package has a time limit for each read. A server that sends a byte now and then never
exceeds it, so a call, and before that the handshake of a connection, could last for ever. And
looking up a host name knows no limit at all.
"""

from __future__ import annotations

import contextlib
import ipaddress
import threading
import time
import weakref
from concurrent.futures import Future, wait
from typing import Any

from sqlalchemy_rds_iam._concurrency import run_in_daemon_thread


class Deadline(threading.local):
    """When the call that this thread makes has to end, on the monotonic clock."""

    at = float("inf")

    def remaining(self) -> float:
        """Seconds until then.

        Raises:
            TimeoutError: there are none.
        """
        left = self.at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer does not come to an end")
        return left


def keeping_to(deadline: Deadline, connection_class: Any) -> Any:
    """A class of connections that keep to `deadline`, made of one of the redis package's."""

    class Connection(connection_class):  # type: ignore[misc]
        _late: Future[Any] | None = None

        def _connect(self) -> Any:
            left = deadline.remaining()
            connect = super()._connect
            host = getattr(self, "host", None)  # None: the file of a socket
            if host is None or _is_address(host):
                return _Socket(connect(), deadline)
            # Nothing else ends looking up a name. What comes too late is for the next call, or
            # else a machine with slow name servers would never have a connection.
            if self._late is None:
                self._late = run_in_daemon_thread(connect)
                weakref.finalize(self, self._late.add_done_callback, _close)
            if self._late not in wait([self._late], left).done:
                raise TimeoutError(f"no connection to {host!r} in time")
            late, self._late = self._late, None
            return _Socket(late.result(), deadline)

    return Connection


class _Socket:
    """A socket whose every read and write ends with the deadline."""

    def __init__(self, inner: Any, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline
        self._timeout: float | None = inner.gettimeout()

    def settimeout(self, timeout: float | None) -> None:
        self._timeout = timeout

    def recv(self, *args: Any) -> Any:
        self._hurry()
        return self._inner.recv(*args)

    def recv_into(self, *args: Any) -> Any:
        self._hurry()
        return self._inner.recv_into(*args)

    def sendall(self, *args: Any) -> Any:
        self._hurry()
        return self._inner.sendall(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _hurry(self) -> None:
        left, own = self._deadline.remaining(), self._timeout
        limit = left if own is None else min(own, left)
        self._inner.settimeout(None if limit == float("inf") else limit)


def _close(connected: Future[Any]) -> None:
    """Close a connection that no caller is going to use."""
    with contextlib.suppress(Exception):
        connected.result().close()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
