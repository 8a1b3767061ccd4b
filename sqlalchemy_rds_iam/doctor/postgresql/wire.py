"""The beginning of a PostgreSQL connection.

See "Start-up" and "SSL Session Encryption" in the chapter "Message Flow" of PostgreSQL's
documentation.
"""

from __future__ import annotations

import ssl
import struct

from sqlalchemy_rds_iam.doctor.wire import (
    DeclinedError,
    Door,
    EarlyError,
    OtherServerError,
    ServerReply,
    other,
)

SSL_REQUEST = struct.pack("!II", 8, 80877103)
"""The message that asks for TLS."""

_PROTOCOL_3_0 = 3 << 16
_OK, _CLEARTEXT = 0, 3
_METHODS = {
    _OK: "accepts any client",
    _CLEARTEXT: "asks for a cleartext password, as it does for IAM",
    5: "asks for a password (MD5)",
    10: "asks for a password (SCRAM)",
}
_LONGEST = 1 << 16


class PostgresDoor(Door):
    """A connection to a PostgreSQL server; see `Door`."""

    _method: int | None = None

    def encrypt(self, context: ssl.SSLContext, name: str) -> ssl.SSLSocket:
        """See `Door`."""
        self._send(SSL_REQUEST)
        answer = self._receive(1)
        if answer == b"N":
            raise DeclinedError
        more = self._peek()
        if answer == b"E":
            raise EarlyError(ServerReply(words=more.decode(errors="replace").strip("\0\n")))
        # A server that takes TLS waits for the client to begin it.
        if answer != b"S" or more:
            raise other(answer + more)
        return self._wrap(context, name)

    def ask(self, user: str, database: str) -> ServerReply:
        """See `Door`.

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
        body = struct.pack("!I", _PROTOCOL_3_0) + text + b"\0"
        self._send(struct.pack("!I", len(body) + 4) + body)
        return self._listen()

    def answer(self, password: str) -> ServerReply:
        """See `Door`."""
        body = password.encode() + b"\0"
        self._send(b"p" + struct.pack("!I", len(body) + 4) + body)
        return self._listen()

    def _take_leave(self) -> None:
        if self._method is not None:
            self._socket.sendall(b"X" + struct.pack("!I", 4))

    def _listen(self) -> ServerReply:
        """Read until the server waits for us, or has refused."""
        accepted = False
        while True:
            kind, body = self._message()
            if kind == b"E":
                asks, wants_token, is_open, *_ = self._asked()
                return ServerReply(asks, wants_token, is_open, accepted, False, *_error(body))
            if kind == b"Z":
                return self._asked()._replace(accepted=accepted, ready=True)
            if kind == b"R" and len(body) >= 4:  # noqa: PLR2004  (the method's number)
                (method,) = struct.unpack_from("!I", body)
                accepted = method == _OK
                if self._method is None:
                    self._method = method
                if not accepted:
                    return self._asked()

    def _asked(self) -> ServerReply:
        method = self._method
        if method is None:
            return ServerReply()
        asks = _METHODS.get(method, f"asks for authentication method {method}")
        return ServerReply(asks, method == _CLEARTEXT, method == _OK)

    def _message(self) -> tuple[bytes, bytes]:
        kind, length = struct.unpack("!cI", self._receive(5))
        if not 4 <= length <= _LONGEST:  # noqa: PLR2004  (the length counts itself)
            raise OtherServerError("it sends something that is not a PostgreSQL message")
        return kind, self._receive(length - 4)


def _error(body: bytes) -> tuple[str, str, str]:
    """Code, words and routine of an ErrorResponse."""
    parts = body.rstrip(b"\0").split(b"\0")
    said = {part[:1].decode("latin-1"): part[1:].decode(errors="replace") for part in parts}
    words = ". ".join(filter(None, map(said.get, "MDH")))
    return said.get("C", ""), words, said.get("R", "")
