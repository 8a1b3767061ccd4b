"""The PostgreSQL messages the emulator reads and writes. Pure.

See the chapters "Message Formats" and "Message Flow" of the PostgreSQL documentation.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from sqlalchemy_rds_iam.testing.database.streams import ProtocolError

SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104
CANCEL_REQUEST = 80877102
PROTOCOL_3_0 = 3 << 16

# MAX_STARTUP_PACKET_LENGTH of the server.
MAX_STARTUP = 10_000

# NAMEDATALEN - 1: the bytes that the server keeps of a name.
MAX_NAME = 63

SSL_ACCEPTED = b"S"
DECLINED = b"N"

AUTHENTICATION_OK = 0
AUTHENTICATION_CLEARTEXT = 3
AUTHENTICATION_MD5 = 5
AUTHENTICATION_SASL = 10
AUTHENTICATION_SASL_CONTINUE = 11
AUTHENTICATION_SASL_FINAL = 12


@dataclass(frozen=True)
class Startup:
    """A StartupMessage: the protocol version asked for and the parameters, ``user`` among them.

    Text is UTF-8 with surrogate escapes, so bytes in any encoding pass through unchanged.
    """

    version: int = PROTOCOL_3_0
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def user(self) -> str:
        """The database user, empty when none was named."""
        return self.parameters.get("user", "")

    @property
    def database(self) -> str:
        """The database, which is the user's name when none was named."""
        return self.parameters.get("database") or self.user

    @property
    def replicates(self) -> bool:
        """Whether a replication connection is asked for, physical or logical."""
        value = self.parameters.get("replication", "").strip().lower()
        # As parse_bool() of the server, which takes any beginning of a word that is unique.
        return value == "database" or (
            value in {"on", "1"}
            or any(value and word.startswith(value) for word in ("true", "yes"))
        )

    def as_kept(self) -> Startup:
        """The same with names as the server keeps them: cut to 63 bytes, whatever that cuts.

        The server does so before anything else (ProcessStartupPacket), so what it asks PAM, and
        what an IAM token has to be signed for, is the shorter name.
        """
        kept = dict(self.parameters)
        if "user" in kept:
            # Of which the database's name is made, where there is none.
            kept = {**kept, "database": _cut(self.database), "user": _cut(self.user)}
        return Startup(self.version, kept)

    def encode(self) -> bytes:
        """The packet, length and all."""
        body = b"".join(_text(name) + _text(value) for name, value in self.parameters.items())
        return packet(struct.pack("!I", self.version) + body + b"\0")


def packet(body: bytes) -> bytes:
    """`body` behind its length: the framing of the packets that open a connection."""
    return struct.pack("!I", len(body) + 4) + body


def message(kind: bytes, body: bytes = b"") -> bytes:
    """A message of type `kind`."""
    return kind + struct.pack("!I", len(body) + 4) + body


def packet_length(header: bytes) -> int:
    """How many bytes follow the four of `header` in a packet that opens a connection.

    Raises:
        ProtocolError: Outside what a server accepts.
    """
    (length,) = struct.unpack("!I", header)
    # Eight: the length itself and the request code or version.
    if not 8 <= length <= MAX_STARTUP:  # noqa: PLR2004
        raise ProtocolError(f"invalid length of startup packet: {length}")
    return int(length) - 4


def code(body: bytes) -> int:
    """The request code or protocol version a packet starts with."""
    return int.from_bytes(body[:4], "big")


def parse_startup(body: bytes) -> Startup:
    """Read a StartupMessage from its `body`, without the length.

    Raises:
        ProtocolError: Not a list of names and values ended by an empty name.
    """
    fields = body[4:].split(b"\0")
    # "name\0value\0…name\0value\0" + "\0" splits into pairs and two empty strings.
    if len(fields) < 2 or len(fields) % 2 or fields[-2:] != [b"", b""]:  # noqa: PLR2004
        raise ProtocolError("invalid startup packet layout: expected terminator as last byte")
    names, values = fields[:-2:2], fields[1:-2:2]
    if b"" in names:
        raise ProtocolError("invalid startup packet layout: a parameter has no name")
    texts = (
        (name.decode(errors="surrogateescape"), value.decode(errors="surrogateescape"))
        for name, value in zip(names, values, strict=True)
    )
    return Startup(code(body), dict(texts))


def error(sqlstate: str, text: str, severity: str = "FATAL") -> bytes:
    """An ErrorResponse as the server words it (chapter "Error and Notice Message Fields")."""
    fields = (("S", severity), ("V", severity), ("C", sqlstate), ("M", text))
    return message(b"E", b"".join(name.encode() + _text(value) for name, value in fields) + b"\0")


def parse_error(body: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse by their one-letter codes: "C" SQLSTATE, "M" message."""
    fields = body.rstrip(b"\0").split(b"\0")
    return {each[:1].decode("latin-1"): each[1:].decode(errors="replace") for each in fields}


def authentication(kind: int, body: bytes = b"") -> bytes:
    """An authentication request of `kind`, or AuthenticationOk."""
    return message(b"R", struct.pack("!I", kind) + body)


def negotiate_version(version: int, unrecognised: list[str]) -> bytes:
    """A NegotiateProtocolVersion: the newest version we speak, the options we do not know."""
    names = b"".join(_text(name) for name in unrecognised)
    return message(b"v", struct.pack("!II", version, len(unrecognised)) + names)


def parameter_status(name: str, value: str) -> bytes:
    """A ParameterStatus."""
    return message(b"S", _text(name) + _text(value))


def password(secret: bytes) -> bytes:
    """A PasswordMessage."""
    return message(b"p", secret + b"\0")


def query(sql: str) -> bytes:
    """A simple Query."""
    return message(b"Q", _text(sql))


def parse_row(body: bytes) -> tuple[str | None, ...]:
    """The columns of a DataRow in text format."""
    (count,) = struct.unpack_from("!H", body)
    columns: list[str | None] = []
    at = 2
    for _ in range(count):
        (length,) = struct.unpack_from("!i", body, at)
        at += 4
        if length < 0:
            columns.append(None)
            continue
        columns.append(body[at : at + length].decode())
        at += length
    return tuple(columns)


def quote_identifier(name: str) -> str:
    """`name` as SQL may hold it."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """`text` as an SQL string; the server's ``standard_conforming_strings`` is on."""
    return "'" + text.replace("'", "''") + "'"


def _cut(name: str) -> str:
    return name.encode(errors="surrogateescape")[:MAX_NAME].decode(errors="surrogateescape")


def _text(value: str) -> bytes:
    return value.encode(errors="surrogateescape") + b"\0"
