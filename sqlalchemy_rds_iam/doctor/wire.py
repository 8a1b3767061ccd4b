"""The beginning of a connection, by hand: TLS, what the server asks for, its own words.

Drivers do not tell what the server asked for, and some not even the code of its error. What is said
on the wire is for the families: `postgresql.wire` and `mysql.wire`.
"""

from __future__ import annotations

import abc
import contextlib
import re
import socket
import ssl
import time
from types import TracebackType
from typing import NamedTuple, Self

_MOMENT, _SHOWN = 0.02, 64
"""Seconds in which a server says more that would begin by itself; bytes of it."""
_GREETINGS = (
    (rb"SSH-", "it is an SSH server"),
    (rb"HTTP/", "it is a web server"),
    (rb"-ERR|-NOAUTH|-DENIED", "it is a Redis server"),
    (rb"220 ", "it is a mail or FTP server"),
)


class ServerReply(NamedTuple):
    """What the server said.

    Attributes:
        asks: what it asks the user for, to end "the server …"; empty if it did not come that far.
        wants_token: whether that is what it asks for when it is going to ask IAM.
        is_open: whether it asks for nothing, and lets any client in.
        accepted: whether it accepted the password, or asked for none.
        ready: whether the session is there.
        code: of its error, if it refused: PostgreSQL's SQLSTATE, MySQL's number.
        words: the error's text, with its detail and hint.
        routine: the part of the server that refused, where it says so.
    """

    asks: str = ""
    wants_token: bool = False
    is_open: bool = False
    accepted: bool = False
    ready: bool = False
    code: str = ""
    words: str = ""
    routine: str = ""

    @property
    def refused(self) -> bool:
        """Whether it answers with an error."""
        return bool(self.code or self.words)


class OtherServerError(ConnectionError):
    """What answers does not speak the family's protocol, or stopped doing so.

    Attributes:
        backend: SQLAlchemy's name of what it is, if that is a database of another family.
    """

    def __init__(self, words: str, backend: str | None = None) -> None:
        super().__init__(words)
        self.backend = backend


class DeclinedError(ConnectionError):
    """The server has no TLS to offer."""


class EarlyError(ConnectionError):
    """The server answers with an error before TLS, such as that it has too many connections.

    Attributes:
        reply: what it says.
    """

    def __init__(self, reply: ServerReply) -> None:
        super().__init__(reply.words)
        self.reply = reply


class Door(abc.ABC):
    """A connection to a server up to the session, and no further. A context manager.

    Args:
        address: IP address and port.
        seconds: how long all of it may take.
        connection: one that is open already.

    Raises:
        OSError: it cannot be reached, or not in time (`TimeoutError`).
    """

    def __init__(
        self, address: tuple[str, int], seconds: float, connection: socket.socket | None = None
    ) -> None:
        self._deadline = time.monotonic() + seconds
        self._socket = connection or socket.create_connection(address, seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave, politely if the conversation has begun."""
        with contextlib.suppress(OSError):
            self._take_leave()
        self._socket.close()

    @abc.abstractmethod
    def encrypt(self, context: ssl.SSLContext, name: str) -> ssl.SSLSocket:
        """Ask for TLS and set it up.

        Raises:
            DeclinedError: the server has none.
            OtherServerError: it answers something else.
            EarlyError: it answers with an error.
            ssl.SSLError: the handshake or the verification fails.
            OSError: the connection fails, or takes too long.
        """

    @abc.abstractmethod
    def ask(self, user: str, database: str) -> ServerReply:
        """Send user and database; return what the server asks for. No password is sent."""

    @abc.abstractmethod
    def answer(self, password: str) -> ServerReply:
        """Send the password; return the server's answer."""

    @abc.abstractmethod
    def _take_leave(self) -> None:
        """Say what the server expects of a client that leaves."""

    def renew(self, seconds: float) -> bool:
        """Go on with it, for so many seconds; False if the server has closed it by now."""
        self._deadline = time.monotonic() + seconds
        self._socket.settimeout(0)
        try:
            self._socket.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            pass
        return False  # an alert, or the end: it is the client's turn to speak

    def _wrap(self, context: ssl.SSLContext, name: str) -> ssl.SSLSocket:
        self._socket.settimeout(self._left())
        self._socket = encrypted = context.wrap_socket(self._socket, server_hostname=name)
        return encrypted

    def _peek(self, seconds: float = _MOMENT) -> bytes:
        """What is there to read already; it stays there."""
        self._socket.settimeout(min(seconds, self._left()))
        try:
            return self._socket.recv(_SHOWN, socket.MSG_PEEK)
        except TimeoutError:
            return b""

    def _send(self, data: bytes) -> None:
        self._socket.settimeout(self._left())
        self._socket.sendall(data)

    def _receive(self, count: int) -> bytes:
        # Never more than asked for, so that nothing in clear can pass for what came through TLS.
        received = b""
        while len(received) < count:
            self._socket.settimeout(self._left())
            chunk = self._socket.recv(count - len(received))
            if not chunk:
                raise ConnectionResetError("the server closed the connection")
            received += chunk
        return received

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left


def other(greeting: bytes) -> OtherServerError:
    """Which server speaks like this, or what it says."""
    if (mysql := re.match(rb".{4}\n([0-9.]+[-\w.]*)", greeting, re.DOTALL)) is not None:
        backend = "mariadb" if b"MariaDB" in mysql[1] else "mysql"
        return OtherServerError("it is a MySQL or MariaDB server", backend)
    for pattern, name in _GREETINGS:
        if re.match(pattern, greeting, re.DOTALL):
            return OtherServerError(name)
    return OtherServerError(f"it answers {greeting[:8]!r}")
