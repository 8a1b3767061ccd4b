"""How a client opens its connection: the server greets, TLS, and who the client says it is.

See "Connection Phase" in the MySQL Internals Manual. Packets are numbered through the login, and
the request for TLS counts, which the real server never sees: so the numbers differ on its side.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio import StreamReader, StreamWriter
from dataclasses import dataclass, replace

from sqlalchemy_rds_iam.testing.database.streams import (
    ProtocolError,
    RefusedError,
    Stream,
    abort,
    closed_on_failure,
    receive_exactly,
    streams,
)
from sqlalchemy_rds_iam.testing.mysql import wire
from sqlalchemy_rds_iam.testing.mysql.login import MAX_LOGIN, read_packet

_OUT_OF_ORDER = (1156, "08S01", "Got packets out of order")


@dataclass
class Client:
    """A client's connection once it has said who it is.

    Attributes:
        sequence: The number of the packet that came last.
        payload: That of its first packet, without the request for TLS.
        encrypted: Whether it came over TLS.
        address: The client's IP address.
        server: The connection to the real server, which waits for an answer to its greeting.
        greeting: What the real server said.
    """

    reader: StreamReader
    writer: StreamWriter
    sequence: int
    payload: bytes
    encrypted: bool
    address: str
    server: Stream
    greeting: wire.Greeting

    def refusal(self, *words: str | int) -> bytes:
        """An ERR_Packet: number, SQLSTATE and text."""
        number, sqlstate, text = words
        return self.packet(wire.error(int(number), str(sqlstate), str(text)))

    def packet(self, payload: bytes) -> bytes:
        """The packet that is next in the login."""
        return wire.packet(self.sequence + 1, payload)

    async def answer(self, payload: bytes) -> bytes:
        """Send a packet, and return what the client answers.

        Raises:
            RefusedError: That is of another number.
            ProtocolError: It is too long.
            EOFError: The client left.
        """
        self.writer.write(self.packet(payload))
        expected = self.sequence + 2
        self.sequence, answer = await read_packet(self.reader)
        self.expect(expected)
        return answer

    def expect(self, number: int) -> None:
        """Have the packet that came last be of this number.

        Raises:
            RefusedError: It is of another.
        """
        if self.sequence != number & 0xFF:
            raise RefusedError(*_OUT_OF_ORDER)


async def receive(
    sock: socket.socket,
    server: Stream,
    greeting: wire.Greeting,
    shown: wire.Greeting,
    context: ssl.SSLContext | None,
) -> Client:
    """Greet a client that was just accepted, and read what it answers.

    Args:
        sock: The accepted, non-blocking socket. It is closed on failure.
        server: A connection to the real server.
        greeting: What that has said.
        shown: What to say to the client.
        context: The TLS context, None to do without TLS whatever has been said.

    Raises:
        ProtocolError: The client broke the protocol.
        OSError: The connection or the TLS handshake failed.
        EOFError: The client left.
    """
    address = str(sock.getpeername()[0])
    with closed_on_failure(sock):
        await send(sock, shown.encode())
        length, sequence = wire.header(await receive_exactly(sock, wire.HEADER))
        if length > MAX_LOGIN:
            raise ProtocolError(f"a packet of {length} bytes, more than {MAX_LOGIN}")
        payload = await receive_exactly(sock, length)
    encrypted = context is not None and wire.is_ssl_request(payload)
    reader, writer = await streams(sock, context if encrypted else None)
    if encrypted:
        try:
            sequence, payload = await read_packet(reader)
        except BaseException:
            abort(writer)
            raise
    return Client(reader, writer, sequence, payload, encrypted, address, server, greeting)


async def send(sock: socket.socket, payload: bytes) -> None:
    """Send the first packet of all."""
    await asyncio.get_running_loop().sock_sendall(sock, wire.packet(0, payload))


def shown(greeting: wire.Greeting, plugin: str | None, *, tls: bool) -> wire.Greeting:
    """The real server's greeting as clients see it.

    Args:
        greeting: That.
        plugin: What to name as the default plugin, None for the server's own.
        tls: Whether to offer TLS.
    """
    capabilities = greeting.capabilities & ~wire.ONE_SIDED | (wire.SSL if tls else 0)
    return replace(greeting, capabilities=capabilities, plugin=plugin or greeting.plugin)
