"""The gateway in front of a PostgreSQL: the part of its protocol that comes before a session.

See "Start-up" in the chapter "Message Flow".
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from asyncio import StreamWriter
from typing import Any

from sqlalchemy_rds_iam.testing.database.gateway import Gateway, Words
from sqlalchemy_rds_iam.testing.database.relay import relay
from sqlalchemy_rds_iam.testing.database.streams import FAILURES, RefusedError, Stream, close
from sqlalchemy_rds_iam.testing.database.traffic import Traffic
from sqlalchemy_rds_iam.testing.postgresql import password_login, session_reuse, wire
from sqlalchemy_rds_iam.testing.postgresql.backend import Backend
from sqlalchemy_rds_iam.testing.postgresql.startup import (
    Client,
    ask_password,
    negotiate,
    receive,
)
from sqlalchemy_rds_iam.testing.postgresql.tap import Tap
from sqlalchemy_rds_iam.testing.postgresql.users import Roles

_Session = Stream | session_reuse.Session


class PostgresGateway(Gateway[Client, _Session, Roles]):
    """Listens like an RDS PostgreSQL with IAM database authentication."""

    late = ("57014", "canceling authentication due to timeout")
    not_accepting = ("57P03", "the database system is not accepting connections")

    def __init__(self, backend: Backend, roles: Roles, *more: Any, **options: Any) -> None:
        """Stand in front of `backend`, whose users are `roles`; for the rest see `Gateway`."""
        super().__init__(roles, *more, **options)
        self._backend = backend
        self._sessions = session_reuse.Sessions(backend)
        self._present: dict[asyncio.Task[None], str] = {}

    async def stop(self) -> None:
        """Stop listening and end every session."""
        await super().stop()
        await self._sessions.close()

    async def _receive(self, sock: socket.socket) -> Client:
        return await receive(sock, None if self.decline_tls else self.certificate)

    async def _admit(self, client: Client) -> _Session | None:
        if wire.code(client.packet) == wire.CANCEL_REQUEST:
            await self._cancel(client.packet)
            return None
        startup = negotiate(client, self._backend.protocol)
        if not client.encrypted:
            raise RefusedError(
                "28000",
                f'no pg_hba.conf entry for host "{client.address}", user "{startup.user}", '
                f'database "{startup.database}", no encryption',
            )
        if not await self._ask(self._users.uses_iam(startup.user)):
            return await self._log_in_with_password(client, startup)
        if startup.replicates:
            # AWS has IAM authentication not take part in replication, unless told to.
            raise RefusedError(
                "28000",
                f'no pg_hba.conf entry for replication connection from host "{client.address}", '
                f'user "{startup.user}", SSL encryption',
            )
        await self._judge(client, startup.user, await ask_password(client))
        return await self._open_session(client, startup)

    async def _pass_on(self, client: Client, session: _Session, traffic: Traffic | None) -> None:
        stream = client.reader, client.writer
        if isinstance(session, session_reuse.Session):
            await session_reuse.relay(stream, session)
            return
        tapped = traffic is not None or self.forged_status
        tap = Tap(traffic or Traffic(), self) if tapped else None
        await relay(stream, session, tap, self.reachable)

    def _leave(self, session: _Session) -> StreamWriter | None:
        if isinstance(session, session_reuse.Session):
            return None if self._sessions.leave(session) else session.stream[1]
        return session[1]

    def _denied(self, _client: Client, user: str) -> Words:
        return "28000", f'PAM authentication failed for user "{user}"'

    def _forget(self, task: asyncio.Task[None]) -> None:
        super()._forget(task)
        self._present.pop(task, None)

    async def _log_in_with_password(self, client: Client, startup: wire.Startup) -> Stream | None:
        """Let the real server decide; None if it did not let the client in, and has said why."""
        await self._delay()
        if self.refuse_next > 0:
            self.refuse_next -= 1
            self._record_password(startup.user, "refuse_next said so")
            client.writer.write(password_login.refusal(startup.user))
            return None
        server = await self._connect()
        with contextlib.ExitStack() as undo:
            undo.callback(server[1].transport.abort)
            try:
                outcome, refusal = await password_login.relay_login(
                    (client.reader, client.writer), server, startup
                )
            except FAILURES:
                raise RefusedError(*self.not_accepting) from None
            # Before the client learns of it, so that no caller sees a login without its decision.
            self._record_password(startup.user, refusal)
            client.writer.write(outcome)
            if refusal is not None:
                return None
            undo.pop_all()
        return server

    async def _connect(self) -> Stream:
        try:
            return await self._backend.connect()
        except OSError:
            raise RefusedError(*self.not_accepting) from None

    async def _open_session(self, client: Client, startup: wire.Startup) -> _Session:
        if self.reuse_sessions:
            try:
                session, welcome = await self._sessions.open(startup)
            except FAILURES:
                raise RefusedError(*self.not_accepting) from None
            client.writer.write(welcome)
            return session
        await self._refuse_as_the_server_would(startup)
        server = await self._connect()
        try:
            client.writer.write(await self._backend.log_in_as(*server, startup))
        except FAILURES:
            server[1].transport.abort()
            raise RefusedError(*self.not_accepting) from None
        except BaseException:
            server[1].transport.abort()
            raise
        return server

    async def _refuse_as_the_server_would(self, startup: wire.Startup) -> None:
        """Where the session is the emulator's own user's, look at what is not let in by itself."""
        if not self._backend.shared_login:
            return
        present = sum(user == startup.user for user in self._present.values())
        obstacle = await self._ask(self._users.obstacle(startup.user, startup.database, present))
        if obstacle is not None:
            raise RefusedError(*obstacle)
        task = asyncio.current_task()
        assert task is not None
        self._present[task] = startup.user

    async def _cancel(self, packet: bytes) -> None:
        """Pass on a CancelRequest: the client holds the key the real server gave it."""
        reader, writer = await self._backend.connect()
        try:
            writer.write(wire.packet(self._sessions.real_key(packet)))
            # The server answers by closing; only then may the client take it as done.
            await reader.read()
        finally:
            await close(writer)
