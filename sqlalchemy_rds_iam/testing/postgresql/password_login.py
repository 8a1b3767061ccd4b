"""Logins by password: the client and the real server settle them, the gateway passes them on.

The server's own connection has no TLS, so it offers SCRAM-SHA-256 but not SCRAM-SHA-256-PLUS, as is
usual behind a proxy that ends TLS: clients that prefer channel binding go without it, those that
require it give up. See "SASL Authentication" in the PostgreSQL documentation.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata
from base64 import b64encode

from sqlalchemy_rds_iam.testing.database.streams import ProtocolError, Stream
from sqlalchemy_rds_iam.testing.postgresql import wire
from sqlalchemy_rds_iam.testing.postgresql.login import read_message

# The longest password message the real server reads (PG_MAX_AUTH_TOKEN_LENGTH).
MAX_PASSWORD = 65_535

_ITERATIONS = 4096
_SALT_BYTES = 16
_QUESTIONS = {
    wire.AUTHENTICATION_CLEARTEXT,
    wire.AUTHENTICATION_MD5,
    wire.AUTHENTICATION_SASL,
    wire.AUTHENTICATION_SASL_CONTINUE,
}


async def relay_login(
    client: Stream, server: Stream, startup: wire.Startup
) -> tuple[bytes, str | None]:
    """Log `client` in at `server` as itself, passing on every message but the last.

    No client gets in without being asked for a password, not even where the server lets it.

    Returns:
        The message that tells the client how it ended, and why it was refused, None if it was not.

    Raises:
        ProtocolError: One of the two broke the protocol.
        OSError: One of them is gone; so EOFError.
    """
    server[1].write(startup.encode())
    asked = False
    while True:
        kind, body = await read_message(server[0])
        message = wire.message(kind, body)
        # NegotiateProtocolVersion: the gateway has told the client already.
        if kind == b"v":
            continue
        if kind == b"E":
            return message, wire.parse_error(body).get("M", "it gave no reason")
        question = wire.code(body) if kind == b"R" else None
        if question == wire.AUTHENTICATION_OK:
            if asked:
                return message, None
            return refusal(startup.user), "it asks this user for no password"
        client[1].write(message)
        if question in _QUESTIONS:
            asked = True
            answer = await read_message(client[0], MAX_PASSWORD)
            server[1].write(wire.message(*answer))
        elif question != wire.AUTHENTICATION_SASL_FINAL:
            raise ProtocolError(f"the server sent {kind!r} during authentication")


def refusal(user: str) -> bytes:
    """The server's answer to a wrong password."""
    return wire.error("28P01", f'password authentication failed for user "{user}"')


def scram_verifier(password: str) -> str:
    r"""What PostgreSQL stores for `password`, so that no statement has to hold the password.

    The format is that of ``pg_authid.rolpassword``; psql's ``\password`` sends it, too.
    """
    salt = secrets.token_bytes(_SALT_BYTES)
    # SASLprep is NFKC for every password without forbidden characters.
    prepared = unicodedata.normalize("NFKC", password).encode()
    salted = hashlib.pbkdf2_hmac("sha256", prepared, salt, _ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    parts = (
        salt,
        hashlib.sha256(client_key).digest(),
        hmac.digest(salted, b"Server Key", "sha256"),
    )
    encoded_salt, stored_key, server_key = (b64encode(part).decode() for part in parts)
    return f"SCRAM-SHA-256${_ITERATIONS}:{encoded_salt}${stored_key}:{server_key}"
