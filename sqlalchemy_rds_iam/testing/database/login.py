"""Log in to a PostgreSQL server: trust, cleartext, MD5 and SCRAM-SHA-256.

See "SASL Authentication" in the PostgreSQL documentation, and RFC 5802 and 7677. Only the leg to
an existing server needs passwords; the server that the emulator starts trusts its own socket.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
import unicodedata
from asyncio import StreamReader, StreamWriter
from base64 import b64decode, b64encode

from sqlalchemy_rds_iam.testing.database import wire

MAX_MESSAGE = 1 << 20

_SCRAM = b"SCRAM-SHA-256"
_ACCEPTED = struct.pack("!I", wire.AUTHENTICATION_OK)


class ServerError(RuntimeError):
    """The real server refused: its own words, and its SQLSTATE as `sqlstate`."""

    def __init__(self, fields: dict[str, str]) -> None:
        """Take the `fields` of an ErrorResponse."""
        self.sqlstate = fields.get("C", "")
        super().__init__(f"{fields.get('M', 'the server gave no reason')} ({self.sqlstate})")


async def read_message(reader: StreamReader, limit: int = MAX_MESSAGE) -> tuple[bytes, bytes]:
    """Read one message: its type and its body of at most `limit` bytes.

    Raises:
        ProtocolError: The length is impossible or above the limit.
        asyncio.IncompleteReadError: The other side went away.
    """
    header = await reader.readexactly(5)
    (length,) = struct.unpack_from("!I", header, 1)
    if not 4 <= length <= limit + 4:  # noqa: PLR2004 - the length counts itself
        raise wire.ProtocolError(f"a message of {length} bytes, more than {limit}")
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
    scram = _Scram(password)
    while True:
        kind, body = await read_message(reader)
        # NegotiateProtocolVersion: the caller asked for more than this server speaks, and may.
        if kind == b"v":
            continue
        if kind == b"E" or (kind, body[:4]) == (b"R", _ACCEPTED):
            return wire.message(kind, body)
        if kind != b"R":
            raise wire.ProtocolError(f"the server sent {kind!r} during authentication")
        answer = _answer(wire.code(body), body[4:], startup.user, password, scram)
        if answer is not None:
            writer.write(answer)


def _answer(request: int, data: bytes, user: str, password: str, scram: _Scram) -> bytes | None:
    match request:
        case wire.AUTHENTICATION_CLEARTEXT:
            return wire.password(password.encode())
        case wire.AUTHENTICATION_MD5:
            return wire.password(_md5(user, password, data))
        case wire.AUTHENTICATION_SASL if _SCRAM in data.split(b"\0"):
            first = scram.first()
            return wire.message(b"p", _SCRAM + b"\0" + struct.pack("!I", len(first)) + first)
        case wire.AUTHENTICATION_SASL_CONTINUE:
            return wire.message(b"p", scram.final(data))
        case wire.AUTHENTICATION_SASL_FINAL:
            scram.check(data)
            return None
    raise wire.ProtocolError(
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
        # SASLprep is NFKC for every password without forbidden characters.
        self._password = unicodedata.normalize("NFKC", password).encode()
        self._bare = b"n=,r=" + b64encode(secrets.token_bytes(18))
        self._server_signature = b""

    def first(self) -> bytes:
        return b"n,," + self._bare

    def final(self, server_first: bytes) -> bytes:
        given = dict(part.split(b"=", 1) for part in server_first.split(b","))
        if not given[b"r"].startswith(self._bare[5:]):
            raise wire.ProtocolError("the server answered SCRAM with a nonce that is not ours")
        salted = hashlib.pbkdf2_hmac(
            "sha256", self._password, b64decode(given[b"s"]), int(given[b"i"])
        )
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = b"c=biws,r=" + given[b"r"]
        signed = b",".join((self._bare, server_first, without_proof))
        signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        self._server_signature = hmac.digest(server_key, signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        return without_proof + b",p=" + b64encode(proof)

    def check(self, server_final: bytes) -> None:
        expected = b"v=" + b64encode(self._server_signature)
        if not hmac.compare_digest(expected, server_final):
            raise wire.ProtocolError("the server does not know the password it accepted")
