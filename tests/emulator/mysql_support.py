"""What tests of the emulator's MySQL share: a client that sends what it is told, and drivers."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from emulator_support import sign

from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.mysql import wire
from sqlalchemy_rds_iam.testing.mysql.login import read_packet

DEADLINE = 30.0
IN = "let in"
CLOSED = "closed without a word"
BASIC = (
    wire.PROTOCOL_41
    | wire.TRANSACTIONS
    | wire.SECURE_CONNECTION
    | wire.PLUGIN_AUTH
    | wire.CONNECT_WITH_DB
)

Stream = tuple[StreamReader, StreamWriter]


def response(user: str = "app", database: str = "app", **changes: Any) -> wire.Response:
    """A usual answer to the greeting, with `changes`."""
    usual = wire.Response(
        BASIC, wire.MAX_PAYLOAD, 45, bytes(23), user.encode(), b"", database.encode()
    )
    return replace(usual, **{"plugin": wire.NATIVE_PASSWORD.encode()} | changes)


class RawClient:
    """Speaks MySQL's protocol packet by packet; `greeting` is what the server said first."""

    def __init__(self, stream: Stream, greeting: bytes) -> None:
        self.reader, self.writer = stream
        self.raw_greeting = greeting
        self.number = 0

    @property
    def greeting(self) -> wire.Greeting:
        """The server's greeting."""
        return wire.parse_greeting(self.raw_greeting)

    async def start_tls(self, rds: RdsEmulator) -> None:
        """Ask for TLS, and have it."""
        asked = wire.parse_response(response().encode()).capabilities | wire.SSL
        request = asked.to_bytes(4, "little") + bytes(28)
        self.send(request)
        context = ssl.create_default_context(cafile=str(rds.ca_file))
        await self.writer.start_tls(context, server_hostname=rds.endpoint.host)

    def send(self, payload: bytes) -> None:
        """Send the packet that is next."""
        self.number += 1
        self.writer.write(wire.packet(self.number, payload))

    async def receive(self) -> bytes:
        """The payload of the next packet, empty when the server has closed."""
        try:
            async with asyncio.timeout(DEADLINE):
                self.number, payload = await read_packet(self.reader)
        except (OSError, EOFError):
            return b""
        return payload

    async def outcome(self, password: bytes = b"") -> Any:
        """Number and SQLSTATE of the refusal, `IN` or `CLOSED`; sends `password` when asked."""
        while payload := await self.receive():
            if payload[0] == wire.OK:
                return IN
            if payload[0] == wire.ERROR:
                return wire.parse_error(payload)
            plugin, salt = wire.parse_switch(payload)
            if plugin == wire.CLEAR_PASSWORD:
                self.send(password + b"\0")
            else:
                self.send(wire.native_answer(password, salt))
        return CLOSED


@contextlib.asynccontextmanager
async def raw(rds: RdsEmulator, *, tls: bool = True) -> AsyncIterator[RawClient]:
    """A client that has been greeted by the gateway, and has TLS or not."""
    async with _client(await asyncio.open_connection(*rds.address)) as client:
        if tls:
            await client.start_tls(rds)
        yield client


@contextlib.asynccontextmanager
async def directly(rds: RdsEmulator) -> AsyncIterator[RawClient]:
    """A client that has been greeted by the real server."""
    async with _client(await asyncio.open_unix_connection(rds._own_server.socket)) as client:
        yield client


@contextlib.asynccontextmanager
async def _client(stream: Stream) -> AsyncIterator[RawClient]:
    try:
        async with asyncio.timeout(DEADLINE):
            _, greeting = await read_packet(stream[0])
        yield RawClient(stream, greeting)
    finally:
        stream[1].close()
        with contextlib.suppress(OSError):
            await stream[1].wait_closed()


def context_of(rds: RdsEmulator) -> ssl.SSLContext:
    """What trusts the emulator's CA, and no other."""
    return ssl.create_default_context(cafile=str(rds.ca_file))


def arguments(rds: RdsEmulator, **changes: Any) -> dict[str, Any]:
    """Arguments for PyMySQL, asyncmy and (`database` as ``db``) aiomysql that connect."""
    host, port = rds.address
    user = changes.get("user", "app")
    return {
        "host": host,
        "port": port,
        "user": user,
        "database": "app",
        "password": changes.get("password") or sign(rds.key, rds.endpoint, user),
        "ssl": context_of(rds),
    } | changes
