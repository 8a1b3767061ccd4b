"""The beginning of a MySQL connection: greeting, TLS, the plugin that the server asks for.

A server counts a client that goes away in the middle of this against its host, and blocks the host
after ``max_connect_errors`` of them (error 1129). So a question is brought to its end: where no
token is wanted the answer is an empty password, which is refused in good order.
"""

from __future__ import annotations

import ssl
import time
from typing import NoReturn

from sqlalchemy_rds_iam.doctor.mysql import packets
from sqlalchemy_rds_iam.doctor.mysql.packets import Accepted, Answer, Greeting, Refused, Switch
from sqlalchemy_rds_iam.doctor.postgresql.wire import SSL_REQUEST
from sqlalchemy_rds_iam.doctor.wire import (
    DeclinedError,
    Door,
    EarlyError,
    OtherServerError,
    ServerReply,
    other,
)

REFUSALS = {1045, 1698}
"""ER_ACCESS_DENIED_ERROR, and ER_ACCESS_DENIED_NO_PASSWORD_ERROR."""

_AFTER_THE_TOKEN = {1044, 1049, 1203, 1226, 1862, 3118, 4151}
"""What is looked at when the password was right: database, limits, and whether it is locked."""

_QUIT = b"\x01"
_PATIENCE = 0.7
"""Of the time there is: how long to wait for a greeting before asking whether it is PostgreSQL."""
_LEAVE = 0.3
"""Seconds to wait for the end of a conversation."""
_LARGEST = 1 << 16


class MysqlDoor(Door):
    """A connection to a MySQL or MariaDB server; see `Door`."""

    _sequence = 0
    _greeting: Greeting | None = None
    _plugin: str | None = None
    """The one that the server asks for, while it waits for an answer."""
    _ready = False

    def encrypt(self, context: ssl.SSLContext, name: str) -> ssl.SSLSocket:
        """See `Door`."""
        greeting = self._greeted()
        if not greeting.capabilities & packets.SSL:
            raise DeclinedError(f"it calls itself {greeting.version}")
        self._send(packets.ssl_request(self._sequence + 1))
        self._sequence += 1
        return self._wrap(context, name)

    def ask(self, user: str, database: str) -> ServerReply:
        """See `Door`.

        As a client does that has no password: it is for the server to ask by another plugin.
        """
        # Named at once, the plugin for tokens would have the empty password taken for one.
        offered = (self._greeting or self._greeted()).plugin or packets.NATIVE
        plugin = packets.NATIVE if offered == packets.CLEAR else offered
        tls = packets.SSL if isinstance(self._socket, ssl.SSLSocket) else 0
        self._sequence += 1
        self._send(packets.login(user, database, plugin, tls, self._sequence))
        return self._heard(self._next(), plugin)

    def answer(self, password: str) -> ServerReply:
        """See `Door`."""
        return self._finish(password.encode() + b"\0")

    def _take_leave(self) -> None:
        if self._ready:
            self._send(packets.framed(_QUIT, 0))
        elif self._plugin is not None:
            self._deadline = min(self._deadline, time.monotonic() + _LEAVE)
            self._finish(b"\0" if self._plugin == packets.CLEAR else b"")

    def _finish(self, answer: bytes) -> ServerReply:
        plugin, self._plugin = self._plugin, None
        self._sequence += 1
        self._send(packets.framed(answer, self._sequence))
        reply = self._asked(plugin)
        found = self._next()
        if isinstance(found, Accepted):
            self._ready = True
            return reply._replace(accepted=True, ready=True)
        if isinstance(found, Refused):
            accepted = found.number in _AFTER_THE_TOKEN
            return _refusal(found)._replace(
                asks=reply.asks, wants_token=reply.wants_token, accepted=accepted
            )
        raise OtherServerError("it answers a password with another question")

    def _heard(self, found: Answer, plugin: str) -> ServerReply:
        if isinstance(found, Accepted):
            self._ready = True
            return ServerReply("lets the user in without a password, and asks for no token")
        if isinstance(found, Refused):
            reply = _refusal(found)
            if found.number in REFUSALS:
                return reply._replace(asks=f"refuses the user, and asks for no token ({plugin})")
            return reply
        self._plugin = found.plugin if isinstance(found, Switch) else plugin
        return self._asked(self._plugin)

    def _asked(self, plugin: str | None) -> ServerReply:
        if plugin == packets.CLEAR:
            return ServerReply(f"asks for {plugin}, as it does for IAM", wants_token=True)
        return ServerReply(f"asks for a password by the plugin {plugin}")

    def _greeted(self) -> Greeting:
        first = self._peek(_PATIENCE * self._left()) or self._silence()
        # Of a packet, the sequence number and the protocol's version, or an error.
        if len(first) > 4 and (first[3] != 0 or first[4] not in {0x0A, 0xFF}):  # noqa: PLR2004
            raise other(first)
        try:
            found = packets.greeting(self._packet())
        except ValueError as error:
            raise OtherServerError(str(error)) from error
        if isinstance(found, Refused):
            raise EarlyError(_refusal(found))
        self._greeting = found
        return found

    def _silence(self) -> NoReturn:
        """A server that waits for its client to speak first may be PostgreSQL."""
        self._send(SSL_REQUEST)
        # One letter; what is longer is a greeting that comes late.
        if self._receive(1) in {b"S", b"N"} and not self._peek():
            raise OtherServerError("it is a PostgreSQL server", "postgresql")
        raise TimeoutError("the greeting comes late")

    def _next(self) -> Answer:
        try:
            return packets.answer(self._packet())
        except ValueError as error:
            raise OtherServerError(f"it sends {error}") from error

    def _packet(self) -> bytes:
        length, self._sequence = packets.length_of(self._receive(4))
        if length > _LARGEST:
            raise ValueError("something that is not a packet of MySQL's")
        return self._receive(length)


def _refusal(found: Refused) -> ServerReply:
    return ServerReply(code=str(found.number), words=found.words)
