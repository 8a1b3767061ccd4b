"""The real server behind the gateway: how to reach it and how to speak to it as superuser."""

from __future__ import annotations

import asyncio
import hmac
from asyncio import StreamReader, StreamWriter
from dataclasses import dataclass, field, replace
from typing import Self

from sqlalchemy_rds_iam.testing.database import server_url
from sqlalchemy_rds_iam.testing.database.streams import Stream
from sqlalchemy_rds_iam.testing.database.users import Row
from sqlalchemy_rds_iam.testing.mysql import wire
from sqlalchemy_rds_iam.testing.mysql.cursor import Cursor
from sqlalchemy_rds_iam.testing.mysql.login import (
    log_in,
    read_greeting,
    read_packet,
    server_error,
)

_CAPABILITIES = (
    wire.PROTOCOL_41
    | wire.TRANSACTIONS
    | wire.SECURE_CONNECTION
    | wire.MULTI_STATEMENTS
    | wire.MULTI_RESULTS
    | wire.PLUGIN_AUTH
)
_UTF8MB4 = 45
_MORE_RESULTS = 8


@dataclass(frozen=True)
class Backend:
    """Where the real server listens and whom the emulator may log in as there.

    Attributes:
        user: A superuser, or one who may create users and databases and read ``mysql.user``.
        password: Its password.
        socket: The server's unix socket, or None to use `host` and `port`.
        key: What the passwords of IAM users are made from, so that they are the same for every
            emulator in front of one server.
    """

    user: str
    password: str = field(default="", repr=False)
    database: str | None = None
    socket: str | None = None
    host: str = "127.0.0.1"
    port: int = 3306
    key: str = field(default="", repr=False)
    deadline: float = 30.0

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Read ``mysql://user:password@host:port/database``; ``mariadb://`` is the same.

        Raises:
            ValueError: Another scheme, or no user.
        """
        found = server_url.read(url, ("mysql", "mariadb"), None, 3306)
        return cls(**found, key=found["password"])

    async def connect(self) -> Stream:
        """Open a connection and send nothing yet."""
        if self.socket is not None:
            return await asyncio.open_unix_connection(self.socket)
        return await asyncio.open_connection(self.host, self.port)

    def secret_of(self, name: str) -> str:
        """The password of IAM user `name` on the real server, which only the emulator knows."""
        return hmac.digest(self.key.encode(), b"iam:" + name.encode(), "sha256").hex()

    def as_user(self, name: str, password: str) -> Backend:
        """The same for another user."""
        return replace(self, user=name, password=password, database=None)

    async def open(self, database: str | None = None) -> Connection:
        """Log in as the emulator's own user.

        Raises:
            ServerError: The server refused.
        """
        return await Connection.open(self, database or self.database)


class Connection:
    """A session of the emulator itself, for simple queries one at a time."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, backend: Backend, database: str | None = None) -> Self:
        """Log in as the emulator's own user.

        Raises:
            ServerError: The server refused.
        """
        async with asyncio.timeout(backend.deadline):
            server = await backend.connect()
            try:
                greeting = await read_greeting(server[0])
                response = wire.Response(
                    _CAPABILITIES | (wire.CONNECT_WITH_DB if database else 0),
                    wire.MAX_PAYLOAD,
                    _UTF8MB4,
                    bytes(23),
                    backend.user.encode(),
                    b"",
                    database.encode() if database else None,
                )
                _checked(await log_in(server, greeting, response, backend.password))
            except BaseException:
                server[1].close()
                raise
        return cls(*server)

    async def query(self, sql: str) -> list[Row]:
        """Run `sql`, one statement or several, and return the rows of the last that has any.

        Raises:
            ServerError: A statement failed.
            ConnectionError: The server went away.
        """
        async with self._turn:
            # A surrogate is no character to the server.
            self._writer.write(wire.packet(0, wire.COM_QUERY + sql.encode(errors="replace")))
            rows: list[Row] = []
            more = True
            try:
                while more:
                    found, more = await self._result()
                    rows = rows if found is None else found
            except asyncio.IncompleteReadError:
                raise ConnectionResetError("the real server went away") from None
            return rows

    async def close(self) -> None:
        """End the session; the server may be gone already."""
        self._writer.write(wire.packet(0, wire.COM_QUIT))
        self._writer.close()

    async def _result(self) -> tuple[list[Row] | None, bool]:
        """The rows of one statement, None for one without; and whether there is another result."""
        payload = await self._packet()
        cursor = Cursor(payload)
        if payload[0] == wire.OK:
            cursor.take(1)
            cursor.number()
            cursor.number()
            return None, _has_more(cursor.take(2))
        columns = cursor.number()
        for _ in range(columns + 1):  # the definitions, and what ends them
            await self._packet()
        rows: list[Row] = []
        while (payload := await self._packet())[0] != wire.SWITCH or len(payload) > 5:  # noqa: PLR2004 - EOF_Packet
            cursor = Cursor(payload)
            rows.append(tuple(_text(cursor.value()) for _ in range(columns)))
        return rows, _has_more(payload[3:5])

    async def _packet(self) -> bytes:
        _, payload = await read_packet(self._reader, wire.MAX_PAYLOAD)
        return _checked(payload)


def _checked(payload: bytes) -> bytes:
    if payload[:1] == bytes([wire.ERROR]):
        raise server_error(payload)
    return payload


def _has_more(status: bytes) -> bool:
    return bool(int.from_bytes(status, "little") & _MORE_RESULTS)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")
