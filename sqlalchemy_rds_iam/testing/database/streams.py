"""An accepted socket: read byte by byte until it is clear what comes, and then a pair of streams.

Not one byte more than asked for is taken off the socket, so nothing an attacker injected before
the TLS handshake can be mistaken for what came through it (CVE-2021-23214).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator
from typing import Protocol

_SHUTDOWN = 1.0

Stream = tuple[StreamReader, StreamWriter]


class ProtocolError(Exception):
    """The other side sent what the protocol does not allow here."""


# Anything the other side or the network can do to a connection.
FAILURES = (OSError, EOFError, ssl.SSLError, ProtocolError)


class RefusedError(Exception):
    """The connection ends with an error, whose words are those of its protocol."""

    def __init__(self, *words: str | int) -> None:
        """Take what `Client.refusal` takes."""
        super().__init__(words[-1])
        self.words = words


class Client(Protocol):
    """A client's connection once it has said what it wants."""

    @property
    def reader(self) -> StreamReader:
        """What it sends."""

    @property
    def writer(self) -> StreamWriter:
        """What it is sent."""

    @property
    def encrypted(self) -> bool:
        """Whether it came over TLS."""

    def refusal(self, *words: str | int) -> bytes:
        """The message that ends its login: SQLSTATE and text, with MySQL after a number."""


@contextlib.contextmanager
def closed_on_failure(sock: socket.socket) -> Iterator[None]:
    """Close `sock` if the block fails: until a transport owns it, nothing else does."""
    with contextlib.ExitStack() as undo:
        undo.callback(sock.close)
        # asyncio does so only for sockets made with an explicit protocol number; Nagle's algorithm
        # would cost every login some 40 ms.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield
        undo.pop_all()


async def receive_exactly(sock: socket.socket, count: int) -> bytes:
    """Take `count` bytes off `sock`.

    Raises:
        EOFError: The client left.
    """
    loop = asyncio.get_running_loop()
    received = bytearray()
    while len(received) < count:
        chunk = await loop.sock_recv(sock, count - len(received))
        if not chunk:
            raise EOFError("the client left before its first packet was complete")
        received += chunk
    return bytes(received)


async def streams(sock: socket.socket, context: ssl.SSLContext | None) -> Stream:
    """Hand `sock` to a transport, after a TLS handshake where there is a `context`."""
    loop = asyncio.get_running_loop()
    reader = StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_accepted_socket(
        lambda: protocol,
        sock,
        ssl=context,
        ssl_shutdown_timeout=None if context is None else _SHUTDOWN,
    )
    return reader, StreamWriter(transport, protocol, reader, loop)


async def close(writer: StreamWriter) -> None:
    """Close `writer` after what is buffered, and wait for that no longer than a second."""
    writer.close()
    try:
        async with asyncio.timeout(_SHUTDOWN):
            await writer.wait_closed()
    except FAILURES:
        abort(writer)


def abort(writer: StreamWriter) -> None:
    """Close `writer` and forget what is buffered."""
    # TLS transports of Python 3.11.2 raise this once they are closed.
    with contextlib.suppress(AttributeError):
        writer.transport.abort()
