"""The beginning of a PostgreSQL connection, by hand: TLS, what the server asks for, its own words.

Drivers do not tell what the server asked for, and those on libpq not even its SQLSTATE. See
"Start-up" and "SSL Session Encryption" in the chapter "Message Flow" of PostgreSQL's documentation.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import time
from types import TracebackType
from typing import NamedTuple, Self

SSL_REQUEST = 80877103
PROTOCOL_3_0 = 3 << 16
OK, CLEARTEXT, MD5, SASL = 0, 3, 5, 10
METHODS = {
    OK: "accepts any client",
    CLEARTEXT: "asks for a cleartext password, as it does for IAM",
    MD5: "asks for a password (MD5)",
    SASL: "asks for a password (SCRAM)",
}
_LONGEST = 1 << 16
_MOMENT, _SHOWN = 0.02, 64
"""Seconds in which a server says more that would begin by itself; bytes of it."""
_GREETINGS = (
    (rb"SSH-", "it is an SSH server"),
    (rb"HTTP/", "it is a web server"),
    (rb".{4}\n[0-9.]+", "it is a MySQL server"),
    (rb"-ERR|-NOAUTH|-DENIED", "it is a Redis server"),
    (rb"220 ", "it is a mail or FTP server"),
)


class NotPostgresError(ConnectionError):
    """What answers does not speak PostgreSQL's protocol, or stopped doing so."""


class DeclinedError(ConnectionError):
    """The server declines TLS."""


class EarlyError(ConnectionError):
    """The server answers with an error before TLS, such as that it cannot start a process."""


class ServerReply(NamedTuple):
    """What the server said.

    Attributes:
        method: the authentication it asks for, if it came that far; see `METHODS`.
        accepted: whether it accepted the password, or asked for none.
        ready: whether the session is there.
        fields: the fields of its error by their one-letter codes, if it refused.
    """

    method: int | None
    accepted: bool = False
    ready: bool = False
    fields: dict[str, str] = {}  # noqa: RUF012  (nothing changes it)

    @property
    def sqlstate(self) -> str:
        """The error's SQLSTATE."""
        return self.fields.get("C", "")

    @property
    def words(self) -> str:
        """The error's text, with its detail and hint."""
        return ". ".join(filter(None, map(self.fields.get, "MDH")))


class Door:
    """A connection to a server up to the session, and no further. A context manager.

    Args:
        address: IP address and port.
        seconds: how long all of it may take.

    Raises:
        OSError: it cannot be reached, or not in time (`TimeoutError`).
    """

    def __init__(self, address: tuple[str, int], seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._socket: socket.socket = socket.create_connection(address, seconds)
        self._method: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave, politely if the conversation has begun."""
        with contextlib.suppress(OSError):
            if self._method is not None:
                self._socket.sendall(b"X" + struct.pack("!I", 4))
        self._socket.close()

    def encrypt(self, context: ssl.SSLContext, name: str) -> ssl.SSLSocket:
        """Ask for TLS and set it up.

        Raises:
            DeclinedError: the server has none.
            NotPostgresError: it answers something else.
            EarlyError: it answers with an error.
            ssl.SSLError: the handshake or the verification fails.
            OSError: the connection fails, or takes too long.
        """
        self._send(struct.pack("!II", 8, SSL_REQUEST))
        answer = self._receive(1)
        if answer == b"N":
            raise DeclinedError
        more = self._peek()
        if answer == b"E":
            raise EarlyError(more.decode(errors="replace").strip("\0\n"))
        # A server that takes TLS waits for the client to begin it.
        if answer != b"S" or more:
            raise NotPostgresError(_who(answer + more))
        self._socket.settimeout(self._left())
        self._socket = encrypted = context.wrap_socket(self._socket, server_hostname=name)
        return encrypted

    def probe(self, user: str, database: str) -> ServerReply:
        """Send user and database; return what the server asks for. No password is sent.

        A client that leaves now has not tried to log in: the server logs nothing, as with a client
        that has yet to ask a person for the password.
        """
        parameters = {
            "user": user,
            "database": database,
            "application_name": "rds-iam doctor",
            "client_encoding": "UTF8",
        }
        text = b"".join(part.encode() + b"\0" for pair in parameters.items() for part in pair)
        body = struct.pack("!I", PROTOCOL_3_0) + text + b"\0"
        self._send(struct.pack("!I", len(body) + 4) + body)
        return self._listen()

    def answer(self, password: str) -> ServerReply:
        """Send the password; return the server's answer."""
        body = password.encode() + b"\0"
        self._send(b"p" + struct.pack("!I", len(body) + 4) + body)
        return self._listen()

    def _listen(self) -> ServerReply:
        """Read until the server waits for us, or has refused."""
        accepted = False
        while True:
            kind, body = self._message()
            if kind == b"E":
                return ServerReply(self._method, accepted, fields=_fields(body))
            if kind == b"Z":
                return ServerReply(self._method, accepted, ready=True)
            if kind == b"R" and len(body) >= 4:  # noqa: PLR2004  (the method's number)
                (method,) = struct.unpack_from("!I", body)
                accepted = method == OK
                if self._method is None:
                    self._method = method
                if not accepted:
                    return ServerReply(self._method)

    def _message(self) -> tuple[bytes, bytes]:
        kind, length = struct.unpack("!cI", self._receive(5))
        if not 4 <= length <= _LONGEST:  # noqa: PLR2004  (the length counts itself)
            raise NotPostgresError("it sends something that is not a PostgreSQL message")
        return kind, self._receive(length - 4)

    def _peek(self) -> bytes:
        """What is there to read already; it stays there."""
        self._socket.settimeout(min(_MOMENT, self._left()))
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


def _who(greeting: bytes) -> str:
    for pattern, name in _GREETINGS:
        if re.match(pattern, greeting, re.DOTALL):
            return name
    return f"it answers {greeting[:8]!r} when it is asked for TLS"


def _fields(body: bytes) -> dict[str, str]:
    parts = body.rstrip(b"\0").split(b"\0")
    return {part[:1].decode("latin-1"): part[1:].decode(errors="replace") for part in parts}
