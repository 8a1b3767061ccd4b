"""The real PostgreSQL behind the gateway: how to reach it and how to speak to it as superuser."""

from __future__ import annotations

import asyncio
import struct
from asyncio import StreamReader, StreamWriter
from dataclasses import dataclass, field, replace
from typing import Self

from sqlalchemy_rds_iam.testing.database import server_url
from sqlalchemy_rds_iam.testing.database.users import Row, ServerError
from sqlalchemy_rds_iam.testing.postgresql import wire
from sqlalchemy_rds_iam.testing.postgresql.login import log_in, read_message, server_error

# Tells the emulator's own sessions from those of clients in pg_stat_activity.
APPLICATION_NAME = "rds-iam-emulator"


@dataclass(frozen=True)
class Backend:
    """Where the real server listens and whom the emulator may log in as there.

    Attributes:
        user: A superuser, or a role that may create roles and databases.
        password: Its password, empty on a socket that trusts.
        socket: The server's unix socket, or None to use `host` and `port`.
        shared_login: Whether client sessions log in as `user` too and then take the IAM user's
            role, because the server lets no other user in.
        protocol: The newest protocol version the server speaks.
    """

    user: str
    password: str = field(default="", repr=False)
    database: str = "postgres"
    socket: str | None = None
    host: str = "127.0.0.1"
    port: int = 5432
    shared_login: bool = False
    protocol: int = wire.PROTOCOL_3_0
    deadline: float = 30.0

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Read ``postgresql://user:password@host:port/database``.

        Raises:
            ValueError: Another scheme, or no user.
        """
        found = server_url.read(url, ("postgresql", "postgres"), "postgres", 5432)
        return cls(**found, shared_login=True)

    async def connect(self) -> tuple[StreamReader, StreamWriter]:
        """Open a connection and send nothing yet."""
        if self.socket is not None:
            return await asyncio.open_unix_connection(self.socket)
        return await asyncio.open_connection(self.host, self.port)

    def as_user(self, name: str, password: str) -> Backend:
        """The same for another user."""
        return replace(self, user=name, password=password)

    async def open(self, database: str | None = None) -> Connection:
        """Log in as the emulator's own user.

        Raises:
            ServerError: The server refused.
        """
        return await Connection.open(self, database)

    async def log_in_as(
        self, reader: StreamReader, writer: StreamWriter, startup: wire.Startup
    ) -> bytes:
        """Open the session a client asked for, as the client's own user.

        Returns:
            The server's AuthenticationOk or ErrorResponse, to be passed on.
        """
        version = min(startup.version, self.protocol)
        if not self.shared_login:
            return await log_in(reader, writer, replace(startup, version=version), "")
        # Set at startup, the role survives RESET ALL and RESET ROLE. The last setting wins, so a
        # client cannot name another one in its own parameters.
        parameters = {k: v for k, v in startup.parameters.items() if k != "role"}
        parameters |= {"user": self.user, "database": startup.database, "role": startup.user}
        return await log_in(reader, writer, wire.Startup(version, parameters), self.password)


class Connection:
    """A session of the emulator itself, for simple queries one at a time."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self.protocol = wire.PROTOCOL_3_0

    @classmethod
    async def open(cls, backend: Backend, database: str | None = None) -> Self:
        """Log in as the emulator's own user.

        Raises:
            ServerError: The server refused.
        """
        async with asyncio.timeout(backend.deadline):
            reader, writer = await backend.connect()
            connection = cls(reader, writer)
            startup = wire.Startup(
                backend.protocol,
                {
                    "user": backend.user,
                    "database": database or backend.database,
                    "application_name": APPLICATION_NAME,
                    "client_encoding": "UTF8",
                }
                # What a fault has made read-only can be made writable again.
                | ({} if backend.shared_login else {"default_transaction_read_only": "off"}),
            )
            try:
                cls._check(await log_in(reader, writer, startup, backend.password))
                await connection._until_ready()
            except BaseException:
                writer.close()
                raise
        return connection

    async def query(self, sql: str) -> list[Row]:
        """Run `sql` and return the rows of its last statement that has any, as text.

        Raises:
            ServerError: The statement failed.
            ConnectionError: The server went away.
        """
        async with self._turn:
            self._writer.write(wire.query(sql))
            return await self._until_ready()

    async def close(self) -> None:
        """End the session; the server may be gone already."""
        self._writer.write(wire.message(b"X"))
        self._writer.close()

    @staticmethod
    def _check(answer: bytes) -> None:
        if answer[:1] == b"E":
            raise server_error(wire.parse_error(answer[5:]))

    async def _until_ready(self) -> list[Row]:
        rows: list[Row] = []
        failure: ServerError | None = None
        while True:
            try:
                kind, body = await read_message(self._reader)
            except asyncio.IncompleteReadError:
                raise failure or ConnectionResetError("the real server went away") from None
            if kind == b"T":
                rows = []
            elif kind == b"D":
                rows.append(wire.parse_row(body))
            elif kind == b"E":
                failure = server_error(wire.parse_error(body))
            elif kind == b"Z":
                if failure is not None:
                    raise failure
                return rows


async def newest_protocol(backend: Backend) -> int:
    """Ask the server for a protocol newer than any and read which one it offers instead.

    The answer is in NegotiateProtocolVersion, which comes before any authentication. A server
    that sends none is older than the message and speaks 3.0.
    """
    async with asyncio.timeout(backend.deadline):
        reader, writer = await backend.connect()
        try:
            parameters = {"user": backend.user, "database": backend.database}
            # 3.9999 is reserved for this question: it will never be a real version.
            writer.write(wire.Startup(wire.PROTOCOL_3_0 + 9999, parameters).encode())
            kind, body = await read_message(reader)
            (version,) = struct.unpack_from("!I", body) if kind == b"v" else (wire.PROTOCOL_3_0,)
            return int(version)
        finally:
            writer.close()
