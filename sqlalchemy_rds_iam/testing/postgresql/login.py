"""Log in to a PostgreSQL server: trust, cleartext, MD5 and SCRAM-SHA-256.

See "SASL Authentication" in the PostgreSQL documentation, and RFC 5802 and 7677. Only the leg to
an existing server needs passwords; the server that the emulator starts trusts its own socket.
"""

from __future__ import annotations

import hashlib
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from typing import Any

import scramp

from sqlalchemy_rds_iam.testing.database.streams import ProtocolError
from sqlalchemy_rds_iam.testing.database.users import ServerError
from sqlalchemy_rds_iam.testing.postgresql import wire

MAX_MESSAGE = 1 << 20

_SCRAM = b"SCRAM-SHA-256"
_ACCEPTED = struct.pack("!I", wire.AUTHENTICATION_OK)


def server_error(fields: dict[str, str]) -> ServerError:
    """The error that the `fields` of an ErrorResponse say."""
    return ServerError(fields.get("C", ""), fields.get("M", ""))


async def read_message(reader: StreamReader, limit: int = MAX_MESSAGE) -> tuple[bytes, bytes]:
    """Read one message: its type and its body of at most `limit` bytes.

    Raises:
        ProtocolError: The length is impossible or above the limit.
        asyncio.IncompleteReadError: The other side went away.
    """
    header = await reader.readexactly(5)
    (length,) = struct.unpack_from("!I", header, 1)
    if not 4 <= length <= limit + 4:  # noqa: PLR2004 - the length counts itself
        raise ProtocolError(f"a message of {length} bytes, more than {limit}")
    return header[:1], await reader.readexactly(length - 4)


async def log_in(
    reader: StreamReader, writer: StreamWriter, startup: wire.Startup, password: str
) -> bytes:
    """Send `startup` and answer the server's requests until it accepts or refuses.

    Returns:
        The server's last message as it came, AuthenticationOk or ErrorResponse, to be passed on.

    Raises:
        ProtocolError: The server asks for a method this module does not speak.
    """
    writer.write(startup.encode())
    scram: _Scram | None = None
    while True:
        kind, body = await read_message(reader)
        # NegotiateProtocolVersion: the caller asked for more than this server speaks, and may.
        if kind == b"v":
            continue
        if kind == b"E" or (kind, body[:4]) == (b"R", _ACCEPTED):
            return wire.message(kind, body)
        if kind != b"R":
            raise ProtocolError(f"the server sent {kind!r} during authentication")
        if wire.code(body) == wire.AUTHENTICATION_SASL:
            scram = _Scram(password)
        answer = _answer(wire.code(body), body[4:], startup.user, password, scram)
        if answer is not None:
            writer.write(answer)


def _answer(
    request: int, data: bytes, user: str, password: str, scram: _Scram | None
) -> bytes | None:
    match request:
        case wire.AUTHENTICATION_CLEARTEXT:
            return wire.password(password.encode())
        case wire.AUTHENTICATION_MD5:
            return wire.password(_md5(user, password, data))
        case wire.AUTHENTICATION_SASL if scram and _SCRAM in data.split(b"\0"):
            first = scram.first()
            return wire.message(b"p", _SCRAM + b"\0" + struct.pack("!I", len(first)) + first)
        case wire.AUTHENTICATION_SASL_CONTINUE if scram:
            return wire.message(b"p", scram.final(data))
        case wire.AUTHENTICATION_SASL_FINAL if scram:
            scram.check(data)
            return None
    raise ProtocolError(
        f"the server asks for authentication method {request}; the emulator logs in with trust, "
        "password, md5 or scram-sha-256"
    )


def _md5(user: str, password: str, salt: bytes) -> bytes:
    inner = hashlib.md5(password.encode() + user.encode(), usedforsecurity=False).hexdigest()
    outer = hashlib.md5(inner.encode() + salt, usedforsecurity=False)
    return b"md5" + outer.hexdigest().encode()


class _Scram:
    """One SCRAM-SHA-256 exchange without channel binding (the leg is not encrypted)."""

    def __init__(self, password: str) -> None:
        # The server knows the user from the startup message, in whatever encoding that is, and
        # passes over the one in here ("SASL Authentication"), which must not be empty for scramp.
        self._client = _scram(scramp.ScramClient, [_SCRAM.decode()], "*", password)

    def first(self) -> bytes:
        return str(_scram(self._client.get_client_first)).encode()

    def final(self, server_first: bytes) -> bytes:
        _scram(self._client.set_server_first, server_first.decode())
        return str(_scram(self._client.get_client_final)).encode()

    def check(self, server_final: bytes) -> None:
        _scram(self._client.set_server_final, server_final.decode())


def _scram(step: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return step(*arguments)
    except (scramp.ScramException, UnicodeError) as error:
        raise ProtocolError(f"SCRAM with the server failed: {error}") from error
