"""How a client opens its connection: encryption first, then one packet that says what it wants.

See "Start-up", "SSL Session Encryption" and "Canceling Requests in Progress" in the PostgreSQL
chapter "Message Flow".
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio import StreamReader, StreamWriter
from dataclasses import dataclass

from sqlalchemy_rds_iam.testing.database.streams import (
    ProtocolError,
    RefusedError,
    abort,
    closed_on_failure,
    receive_exactly,
    streams,
)
from sqlalchemy_rds_iam.testing.postgresql import wire
from sqlalchemy_rds_iam.testing.postgresql.login import read_message
from sqlalchemy_rds_iam.testing.postgresql.password_login import MAX_PASSWORD
from sqlalchemy_rds_iam.testing.server.certificates import ALPN

# The first byte of a TLS ClientHello; no packet length this server accepts begins with it.
_TLS_HANDSHAKE = b"\x16"


@dataclass(frozen=True)
class Client:
    """A client's connection once it has said what it wants.

    Attributes:
        packet: The body of the opening packet: a StartupMessage or a CancelRequest.
        encrypted: Whether it came over TLS.
        address: The client's IP address.
    """

    reader: StreamReader
    writer: StreamWriter
    packet: bytes
    encrypted: bool
    address: str

    def refusal(self, *words: str | int) -> bytes:
        """An ErrorResponse: SQLSTATE and text."""
        sqlstate, text = map(str, words)
        return wire.error(sqlstate, text)


async def receive(sock: socket.socket, context: ssl.SSLContext | None) -> Client:
    """Read the opening of a connection that was just accepted.

    Args:
        sock: The accepted, non-blocking socket. It is closed on failure.
        context: The server's TLS context, None to decline TLS.

    Raises:
        ProtocolError: The client broke the protocol.
        OSError: The connection or the TLS handshake failed.
        EOFError: The client left.
    """
    address = str(sock.getpeername()[0])
    with closed_on_failure(sock):
        direct = await _first_byte(sock) == _TLS_HANDSHAKE
        packet = None if direct else await _plain_packet(sock, context)
        if packet is None and context is None:
            raise ProtocolError("direct TLS was declined")
    encrypted = packet is None
    reader, writer = await streams(sock, context if encrypted else None)
    try:
        if direct:
            _check_application_protocol(writer)
        if packet is None:
            packet = await _packet(reader)
    except BaseException:
        abort(writer)
        raise
    return Client(reader, writer, packet, encrypted, address)


async def _plain_packet(sock: socket.socket, context: ssl.SSLContext | None) -> bytes | None:
    """The first packet sent in clear, None when TLS comes first."""
    loop = asyncio.get_running_loop()
    # Each kind of encryption may be asked for once.
    open_requests = {wire.SSL_REQUEST, wire.GSSENC_REQUEST}
    while True:
        body = await receive_exactly(sock, wire.packet_length(await receive_exactly(sock, 4)))
        request = wire.code(body)
        if request not in open_requests:
            return body
        open_requests.remove(request)
        if request == wire.SSL_REQUEST and context is not None:
            await loop.sock_sendall(sock, wire.SSL_ACCEPTED)
            return None
        await loop.sock_sendall(sock, wire.DECLINED)


def _check_application_protocol(writer: StreamWriter) -> None:
    if writer.get_extra_info("ssl_object").selected_alpn_protocol() != ALPN:
        raise ProtocolError("direct TLS without the application protocol postgresql")


async def _packet(reader: StreamReader) -> bytes:
    return await reader.readexactly(wire.packet_length(await reader.readexactly(4)))


async def _first_byte(sock: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(sock, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(sock)
    return sock.recv(1, socket.MSG_PEEK)


def negotiate(client: Client, newest: int) -> wire.Startup:
    """Settle on what the real server speaks, as it would ("NegotiateProtocolVersion").

    Args:
        client: Who has said what it speaks; it is told if that is too much.
        newest: The protocol version of the real server.

    Raises:
        RefusedError: It speaks another major version, or names no user.
    """
    asked = wire.code(client.packet)
    # First, because a packet of another version may be laid out in another way.
    if asked >> 16 != newest >> 16:
        raise RefusedError(
            "0A000",
            f"unsupported frontend protocol {asked >> 16}.{asked & 0xFFFF}: server supports "
            f"3.0 to {newest >> 16}.{newest & 0xFFFF}",
        )
    try:
        startup = wire.parse_startup(client.packet).as_kept()
    except ProtocolError as error:
        raise RefusedError("08P01", str(error)) from None
    unknown = [name for name in startup.parameters if name.startswith("_pq_.")]
    if startup.version > newest or unknown:
        client.writer.write(wire.negotiate_version(newest, unknown))
    known = {k: v for k, v in startup.parameters.items() if k not in unknown}
    if not startup.user:
        raise RefusedError("28000", "no PostgreSQL user name specified in startup packet")
    return wire.Startup(min(startup.version, newest), known)


async def ask_password(client: Client) -> bytes:
    """Ask `client` for a password in clear, and read it as the server does.

    Raises:
        RefusedError: It is empty, or the message holds something else (recv_password_packet).
    """
    client.writer.write(wire.authentication(wire.AUTHENTICATION_CLEARTEXT))
    kind, body = await read_message(client.reader, MAX_PASSWORD)
    if kind != b"p":
        raise RefusedError("08P01", f"expected password response, got message type {kind[0]}")
    password, _, rest = body.partition(b"\0")
    if rest or len(body) != len(password) + 1:
        raise RefusedError("08P01", "invalid password packet size")
    if not password:
        raise RefusedError("28P01", "empty password returned by client")
    return password
