"""Log in to a MySQL or MariaDB server with a password, as its own user or as a client's."""

from __future__ import annotations

from asyncio import StreamReader
from dataclasses import replace

from sqlalchemy_rds_iam.testing.database.streams import ProtocolError, Stream
from sqlalchemy_rds_iam.testing.database.users import ServerError
from sqlalchemy_rds_iam.testing.mysql import wire

# The longest packet that is read of a login.
MAX_LOGIN = 1 << 16


async def read_packet(reader: StreamReader, limit: int = MAX_LOGIN) -> tuple[int, bytes]:
    """Read one packet: its number, and its payload of at most `limit` bytes.

    Raises:
        ProtocolError: It is longer.
        asyncio.IncompleteReadError: The other side went away.
    """
    length, sequence = wire.header(await reader.readexactly(wire.HEADER))
    if length > limit:
        raise ProtocolError(f"a packet of {length} bytes, more than {limit}")
    return sequence, await reader.readexactly(length)


async def read_greeting(reader: StreamReader) -> wire.Greeting:
    """Read what a server says first.

    Raises:
        ServerError: It does not let anyone in.
        ProtocolError: It is not of protocol version 10.
    """
    _, payload = await read_packet(reader)
    if payload[:1] == bytes([wire.ERROR]):
        raise server_error(payload)
    return wire.parse_greeting(payload)


async def log_in(
    server: Stream, greeting: wire.Greeting, response: wire.Response, password: str
) -> bytes:
    """Answer a greeting, and what the server asks for, until it accepts or refuses.

    Args:
        server: The connection, of which the greeting has been read.
        greeting: That.
        response: Who wants in, and where to.
        password: For ``mysql_native_password``.

    Returns:
        The payload of the server's last packet, OK_Packet or ERR_Packet, to be passed on.

    Raises:
        ProtocolError: The server asks for a plugin this module does not know.
    """
    reader, writer = server
    secret = password.encode()
    answer = wire.native_answer(secret, greeting.salt)
    response = replace(
        response.masked(greeting.capabilities),
        password=answer,
        plugin=wire.NATIVE_PASSWORD.encode(),
    )
    writer.write(wire.packet(1, response.encode()))
    while True:
        sequence, payload = await read_packet(reader)
        if payload[:1] in (bytes([wire.OK]), bytes([wire.ERROR])):
            return payload
        plugin, salt = wire.parse_switch(payload)
        if payload[:1] != bytes([wire.SWITCH]) or plugin != wire.NATIVE_PASSWORD:
            raise ProtocolError(
                f"the server asks for {plugin or 'the password of before MySQL 4.1'}; the emulator "
                f"logs in with {wire.NATIVE_PASSWORD}"
            )
        writer.write(wire.packet(sequence + 1, wire.native_answer(secret, salt)))


def server_error(payload: bytes) -> ServerError:
    """The error that an ERR_Packet says."""
    number, sqlstate, text = wire.parse_error(payload)
    return ServerError(sqlstate, text, number)
