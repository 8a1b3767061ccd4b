"""The MySQL packets the emulator reads and writes before a session, and for its own. Pure.

See "Connection Phase" in the MySQL Internals Manual ("Client/Server Protocol"), and "Connecting"
in MariaDB's documentation of the protocol, which has a few bits of its own.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, replace

from sqlalchemy_rds_iam.testing.database.streams import ProtocolError
from sqlalchemy_rds_iam.testing.mysql.cursor import Cursor

# Capabilities ("Capability Flags").
CONNECT_WITH_DB = 1 << 3
COMPRESS = 1 << 5
PROTOCOL_41 = 1 << 9
SSL = 1 << 11
TRANSACTIONS = 1 << 13
SECURE_CONNECTION = 1 << 15
MULTI_STATEMENTS = 1 << 16
MULTI_RESULTS = 1 << 17
PLUGIN_AUTH = 1 << 19
CONNECT_ATTRS = 1 << 20
PLUGIN_AUTH_LENENC = 1 << 21
ZSTD_COMPRESSION = 1 << 26

# Plugins of the client's side.
CLEAR_PASSWORD = "mysql_clear_password"  # noqa: S105 - a plugin's name
NATIVE_PASSWORD = "mysql_native_password"  # noqa: S105

OK = 0x00
MORE_DATA = 0x01
SWITCH = 0xFE
ERROR = 0xFF

COM_QUIT = b"\x01"
COM_QUERY = b"\x03"

# The most that one packet holds; what is longer is cut into several.
MAX_PAYLOAD = 0xFFFFFF
HEADER = 4

# What one side of the gateway has, and the other has not.
ONE_SIDED = SSL | COMPRESS | ZSTD_COMPRESSION

_VERSION = 10
_SSL_REQUEST = 32
_FIXED = struct.Struct("<IIB23s")
_SALT = 20


@dataclass(frozen=True)
class Greeting:
    """The first packet of a server ("Protocol::HandshakeV10").

    Attributes:
        version: Of the server, as in ``@@version``.
        thread: The number of the connection, as in ``CONNECTION_ID()``.
        salt: 20 random bytes.
        capabilities: What the server can do.
        charset: Its default collation.
        status: Its status flags.
        reserved: Ten bytes, of which MariaDB's last four hold more capabilities.
        plugin: What clients may use for their first answer.
    """

    version: bytes
    thread: int
    salt: bytes
    capabilities: int
    charset: int
    status: int
    reserved: bytes
    plugin: str

    def encode(self) -> bytes:
        """The payload."""
        low, high = self.capabilities & 0xFFFF, self.capabilities >> 16
        fixed = struct.pack("<HBHHB", low, self.charset, self.status, high, len(self.salt) + 1)
        return b"".join(
            (
                bytes([_VERSION]) + self.version + b"\0",
                struct.pack("<I", self.thread) + self.salt[:8] + b"\0",
                fixed + self.reserved + self.salt[8:] + b"\0",
                self.plugin.encode() + b"\0",
            )
        )


@dataclass(frozen=True)
class Response:
    """What a client says of itself ("Protocol::HandshakeResponse41").

    Attributes:
        capabilities: What it can do, and asks for.
        max_packet: The longest packet it takes.
        charset: Its collation.
        filler: 23 bytes, of which the last four hold MariaDB's capabilities.
        user: The database user, as the bytes that came.
        password: The answer of its plugin to the greeting.
        database: The one asked for, None without.
        plugin: The plugin's name, None without.
        rest: The connection attributes as they came.
    """

    capabilities: int
    max_packet: int
    charset: int
    filler: bytes
    user: bytes
    password: bytes
    database: bytes | None = None
    plugin: bytes | None = None
    rest: bytes = b""

    @property
    def name(self) -> str:
        """The database user as text; bytes in any other encoding pass through unchanged."""
        return self.user.decode(errors="surrogateescape")

    def encode(self) -> bytes:
        """The payload; its password is at most 250 bytes long."""
        fixed = _FIXED.pack(self.capabilities, self.max_packet, self.charset, self.filler)
        parts = [fixed, self.user, b"\0", bytes([len(self.password)]), self.password]
        if self.database is not None:
            parts += [self.database, b"\0"]
        if self.plugin is not None:
            parts += [self.plugin, b"\0"]
        return b"".join((*parts, self.rest))

    def masked(self, offered: int) -> Response:
        """The same without TLS and compression, and without what a server has not offered."""
        capabilities = self.capabilities & offered & ~ONE_SIDED
        # Not needed for what the emulator sends, which is short.
        capabilities &= ~PLUGIN_AUTH_LENENC
        return replace(self, capabilities=capabilities)


def packet(sequence: int, payload: bytes) -> bytes:
    """`payload`, shorter than `MAX_PAYLOAD`, behind its length and its number."""
    return struct.pack("<I", len(payload))[:3] + bytes([sequence & 0xFF]) + payload


def header(four: bytes) -> tuple[int, int]:
    """The length of the payload that follows, and the packet's number."""
    return int.from_bytes(four[:3], "little"), four[3]


def without_tls(payload: bytes) -> bytes:
    """A client's answer to the greeting as it came, but for TLS and compression."""
    capabilities = int.from_bytes(payload[:4], "little") & ~ONE_SIDED
    return capabilities.to_bytes(4, "little")[: len(payload)] + payload[4:]


def is_ssl_request(payload: bytes) -> bool:
    """Whether a client's first packet asks for TLS."""
    return len(payload) == _SSL_REQUEST and bool(int.from_bytes(payload[:4], "little") & SSL)


def parse_greeting(payload: bytes) -> Greeting:
    """Read a server's first packet.

    Raises:
        ProtocolError: It is none of protocol version 10, or has no salt.
    """
    version, separator, rest = payload[1:].partition(b"\0")
    if payload[:1] != bytes([_VERSION]) or not separator or len(rest) < 31 + 13:
        raise ProtocolError("the server's greeting is not one of protocol version 10")
    (thread,) = struct.unpack_from("<I", rest)
    low, charset, status, high, _ = struct.unpack_from("<HBHHB", rest, 13)
    reserved, more = rest[21:31], rest[31:]
    salt = rest[4:12] + more[: _SALT - 8]
    plugin = more[_SALT - 8 + 1 :].partition(b"\0")[0].decode() or NATIVE_PASSWORD
    return Greeting(version, thread, salt, low | high << 16, charset, status, reserved, plugin)


def parse_response(payload: bytes) -> Response:
    """Read a client's answer to the greeting.

    Raises:
        ProtocolError: It is cut short, or older than MySQL 4.1.
    """
    cursor = Cursor(payload)
    capabilities, max_packet, charset, filler = _FIXED.unpack(cursor.take(_FIXED.size))
    if not capabilities & PROTOCOL_41:
        raise ProtocolError("the client speaks the protocol of before MySQL 4.1")
    user = cursor.text()
    if capabilities & PLUGIN_AUTH_LENENC:
        password = cursor.take(cursor.number())
    elif capabilities & SECURE_CONNECTION:
        password = cursor.take(cursor.take(1)[0])
    else:
        password = cursor.text()
    # As servers read them, which have a zero behind every packet.
    database = cursor.text(cut=True) if capabilities & CONNECT_WITH_DB else None
    plugin = cursor.text(cut=True) if capabilities & PLUGIN_AUTH else None
    rest = cursor.rest() if capabilities & CONNECT_ATTRS else b""
    return Response(
        capabilities, max_packet, charset, filler, user, password, database, plugin, rest
    )


def switch(plugin: str, data: bytes = b"") -> bytes:
    """An AuthSwitchRequest; MariaDB and Aurora send none of the `data` for passwords in clear."""
    return bytes([SWITCH]) + plugin.encode() + b"\0" + data


def parse_switch(payload: bytes) -> tuple[str, bytes]:
    """The plugin that an AuthSwitchRequest names, and its data without the zero at the end."""
    name, _, data = payload[1:].partition(b"\0")
    return name.decode(errors="replace"), data.removesuffix(b"\0")


def error(number: int, sqlstate: str, text: str) -> bytes:
    """An ERR_Packet; without an SQLSTATE as servers send it in place of a greeting."""
    mark = f"#{sqlstate}" if sqlstate else ""
    return bytes([ERROR]) + struct.pack("<H", number) + (mark + text).encode()


def parse_error(payload: bytes) -> tuple[int, str, str]:
    """The number, SQLSTATE and words of an ERR_Packet."""
    (number,) = struct.unpack_from("<H", payload, 1)
    text = payload[3:].decode(errors="replace")
    if text.startswith("#"):
        return number, text[1:6], text[6:]
    return number, "", text


def native_answer(password: bytes, salt: bytes) -> bytes:
    """The answer of ``mysql_native_password`` ("Secure Password Authentication")."""
    if not password:
        return b""
    once = _sha1(password)
    mask = _sha1(salt[:_SALT] + _sha1(once))
    return bytes(a ^ b for a, b in zip(once, mask, strict=True))


def native_hash(password: str) -> str:
    """What servers keep of a password for ``mysql_native_password``, empty for none."""
    return f"*{_sha1(_sha1(password.encode())).hex().upper()}" if password else ""


def quote_literal(text: str) -> str:
    """`text` as an SQL string, whether or not ``NO_BACKSLASH_ESCAPES`` is set."""
    if "\\" not in text:
        return "'" + text.replace("'", "''") + "'"
    return f"CONVERT(0x{text.encode().hex()} USING utf8mb4)"


def quote_identifier(name: str) -> str:
    """`name` as SQL may hold it."""
    return "`" + name.replace("`", "``") + "`"


def _sha1(text: bytes) -> bytes:
    # The protocol's own choice, of 2003.
    return hashlib.sha1(text, usedforsecurity=False).digest()
