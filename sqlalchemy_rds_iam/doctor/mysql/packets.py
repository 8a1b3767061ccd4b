"""MySQL's packets as far as the login, from bytes and to bytes. Pure.

See "Connection Phase" and "Generic Response Packets" in MySQL's source documentation, and
"Connecting" in MariaDB's.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

LONG_PASSWORD, CONNECT_WITH_DB, PROTOCOL_41 = 1 << 0, 1 << 3, 1 << 9
SSL, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH = 1 << 11, 1 << 13, 1 << 15, 1 << 19

NATIVE, CLEAR = "mysql_native_password", "mysql_clear_password"
"""Plugins of clients: of passwords, and of tokens."""

_WANTED = LONG_PASSWORD | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH
_UTF8MB4 = 45
_LONGEST = 1 << 24
_VERSION = 10
_ERROR = 0xFF
_NO_GREETING = "no greeting of MySQL's"


class Greeting(NamedTuple):
    """What a server says first.

    Attributes:
        version: of the server; MariaDB's has its name in it.
        capabilities: bits, see `SSL` and its neighbours.
        plugin: by which it would have a client answer at once.
    """

    version: str
    capabilities: int
    plugin: str


class Refused(NamedTuple):
    """An error.

    Attributes:
        number: see "Server Error Message Reference".
        sqlstate: empty before the handshake, where there is none.
        words: the text.
    """

    number: int
    sqlstate: str
    words: str


class Switch(NamedTuple):
    """A server that wants another plugin: AuthSwitchRequest."""

    plugin: str


class Accepted(NamedTuple):
    """The session is there: OK_Packet."""


class More(NamedTuple):
    """Something within the conversation of one plugin: AuthMoreData."""


Answer = Accepted | Refused | Switch | More


def framed(payload: bytes, sequence: int) -> bytes:
    """A packet."""
    return struct.pack("<I", len(payload))[:3] + bytes([sequence & 0xFF]) + payload


def length_of(header: bytes) -> tuple[int, int]:
    """Length and sequence number, of the four bytes before a packet."""
    (word,) = struct.unpack("<I", header)
    return word & 0xFFFFFF, word >> 24


def greeting(payload: bytes) -> Greeting | Refused:
    """Read the first packet.

    Raises:
        ValueError: it is not MySQL's.
    """
    if payload[:1] == bytes([_ERROR]):
        return refused(payload)
    if payload[:1] != bytes([_VERSION]):
        raise ValueError(_NO_GREETING)
    try:
        end = payload.index(0, 1)
        version = payload[1:end].decode("ascii")
        # The connection's number, eight bytes of a challenge, and a filler.
        position = end + 14
        (low,) = struct.unpack_from("<H", payload, position)
        high, length = 0, 0
        if len(payload) > position + 2:
            high, length = struct.unpack_from("<xxxxxHB", payload, position)
        capabilities = low | high << 16
        plugin = b""
        if capabilities & PLUGIN_AUTH:
            # Ten reserved bytes, and the rest of the challenge.
            plugin = payload[position + 18 + max(13, length - 8) :].partition(b"\0")[0]
        return Greeting(version, capabilities, plugin.decode("ascii"))
    except (struct.error, ValueError, IndexError):
        raise ValueError(_NO_GREETING) from None


def refused(payload: bytes) -> Refused:
    """Read an ERR_Packet.

    Raises:
        ValueError: it is cut off.
    """
    try:
        (number,) = struct.unpack_from("<H", payload, 1)
    except struct.error:
        raise ValueError("half an error") from None
    state, rest = "", payload[3:]
    if rest[:1] == b"#":
        state, rest = rest[1:6].decode("latin-1"), rest[6:]
    return Refused(number, state, rest.decode(errors="replace"))


def answer(payload: bytes) -> Answer:
    """Read what a server answers while a client logs in.

    Raises:
        ValueError: it is nothing that it may answer.
    """
    kind = payload[:1]
    if kind == b"\0":
        return Accepted()
    if kind == bytes([_ERROR]):
        return refused(payload)
    if kind == b"\xfe":
        # Alone it asks for a hash that was given up before MySQL 5.
        name = payload[1:].partition(b"\0")[0] or b"mysql_old_password"
        return Switch(name.decode(errors="replace"))
    if kind == b"\x01":
        return More()
    raise ValueError("nothing that a login is answered with")


def ssl_request(sequence: int) -> bytes:
    """The packet that asks for TLS: the first half of a login."""
    return framed(_begin(_WANTED | SSL), sequence)


def login(user: str, database: str, plugin: str, tls: int, sequence: int) -> bytes:
    """The packet that says who wants to log in, with nothing for a password.

    Args:
        user: the user's name.
        database: empty for none.
        plugin: by which the empty password is to be understood.
        tls: `SSL` within TLS, else 0.
        sequence: of the packet.
    """
    capabilities = _WANTED | tls | (CONNECT_WITH_DB if database else 0)
    # A zero for the length of the password.
    names = [user.encode() + b"\0\0", *([database.encode() + b"\0"] if database else [])]
    return framed(_begin(capabilities) + b"".join(names) + plugin.encode() + b"\0", sequence)


def _begin(capabilities: int) -> bytes:
    return struct.pack("<IIB23x", capabilities, _LONGEST, _UTF8MB4)
