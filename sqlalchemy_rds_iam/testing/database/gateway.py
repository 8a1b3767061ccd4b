"""The IAM-verifying gateway: TLS on one side, a real PostgreSQL on the other.

It speaks the part of the PostgreSQL protocol that comes before a session ("Start-up" in the chapter
"Message Flow"), judges the token, and from then on only passes bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import TypeVar

from sqlalchemy_rds_iam.testing.aws.identities import Identities
from sqlalchemy_rds_iam.testing.database import password_login, session_reuse, wire
from sqlalchemy_rds_iam.testing.database.backend import Backend
from sqlalchemy_rds_iam.testing.database.decisions import Records
from sqlalchemy_rds_iam.testing.database.listener import Listener
from sqlalchemy_rds_iam.testing.database.login import ServerError
from sqlalchemy_rds_iam.testing.database.relay import Stream, relay
from sqlalchemy_rds_iam.testing.database.startup import (
    FAILURES,
    Client,
    RefusedError,
    ask_password,
    close,
    negotiate,
    receive,
)
from sqlalchemy_rds_iam.testing.database.tap import Tap, Traffic
from sqlalchemy_rds_iam.testing.database.users import Roles
from sqlalchemy_rds_iam.testing.database.verifier import Decision, SignedEndpoint, verify
from sqlalchemy_rds_iam.testing.knobs import Knobs

logger = logging.getLogger("sqlalchemy_rds_iam.testing")

# Tokens with the longest session tokens stay well below; what is longer is none.
MAX_TOKEN = 16 * 1024

_NOT_ACCEPTING = ("57P03", "the database system is not accepting connections")

_T = TypeVar("_T")


class Gateway(Knobs):
    """Listens like an RDS instance with IAM database authentication; see `Knobs` for its faults."""

    def __init__(
        self,
        backend: Backend,
        roles: Roles,
        endpoint: SignedEndpoint,
        identities: Identities,
        certificate: ssl.SSLContext,
        *,
        clock: Callable[[], float] = time.time,
        ceiling: float | None = None,
        login_timeout: float = 60.0,
    ) -> None:
        self.records = Records()
        super().__init__(certificate, ceiling, login_timeout)
        self._backend = backend
        self._sessions = session_reuse.Sessions(backend)
        self._roles = roles
        self._endpoint = endpoint
        self._identities = identities
        self._clock = clock
        # While it is not set packets are swallowed, both ways: clients neither get in nor learn
        # of an end.
        self.reachable = asyncio.Event()
        self.reachable.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._present: dict[asyncio.Task[None], str] = {}
        self._listener = Listener(self.serve)

    @property
    def address(self) -> tuple[str, int]:
        """The IP address and port the gateway listens on."""
        return self._listener.address

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen on `host` and `port` (0: any free one) and serve from the running loop.

        Raises:
            OSError: The port cannot be bound.
        """
        self._listener.bind(host, port)
        self._listener.open()

    async def stop(self) -> None:
        """Stop listening and end every session."""
        self._listener.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._sessions.close()

    def serve(self, sock: socket.socket, traffic: Traffic | None = None) -> None:
        """Serve a connection that was just accepted, here or at an endpoint of a cluster.

        Args:
            sock: The non-blocking socket, which is closed in the end.
            traffic: Of the endpoint, to be counted in.
        """
        task = asyncio.create_task(self._serve(sock, traffic))
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._present.pop(task, None)

    async def _serve(self, sock: socket.socket, traffic: Traffic | None) -> None:
        client: Client | None = None
        server: Stream | session_reuse.Session | None = None
        try:
            await self._until_reachable(sock)
            async with asyncio.timeout(self.login_timeout):
                client = await receive(sock, None if self.decline_tls else self.certificate)
                server = await self._admit(client)
            if isinstance(server, session_reuse.Session):
                await session_reuse.relay((client.reader, client.writer), server)
            elif server is not None:
                tapped = traffic is not None or self.forged_status
                tap = Tap(traffic or Traffic(), self) if tapped else None
                await relay((client.reader, client.writer), server, tap, self.reachable)
        except RefusedError as refused:
            assert client is not None
            client.writer.write(refused.response)
        except TimeoutError:
            if client is not None:
                client.writer.write(wire.error("57014", "canceling authentication due to timeout"))
        except FAILURES as failure:
            logger.debug("a connection ended before it was a session: %r", failure)
        finally:
            writers = [client.writer] if client is not None else []
            if isinstance(server, session_reuse.Session):
                server = None if self._sessions.leave(server) else server.stream
            writers += [server[1]] if server is not None else []
            # First of all, as a cancellation that comes now ends what gather() has not begun.
            for writer in writers:
                writer.close()
            await asyncio.gather(*(close(writer) for writer in writers))

    async def _until_reachable(self, sock: socket.socket) -> None:
        with contextlib.ExitStack() as undo:
            undo.callback(sock.close)
            await self.reachable.wait()
            undo.pop_all()

    async def _admit(self, client: Client) -> Stream | session_reuse.Session | None:
        """Take `client` to a session on the real server; None if it only wanted to cancel."""
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
        if not await self._ask(self._roles.uses_iam(startup.user)):
            return await self._log_in_with_password(client, startup)
        if startup.replicates:
            # AWS has IAM authentication not take part in replication, unless told to.
            raise RefusedError(
                "28000",
                f'no pg_hba.conf entry for replication connection from host "{client.address}", '
                f'user "{startup.user}", SSL encryption',
            )
        password = await ask_password(client)
        if self.auth_delay:
            await asyncio.sleep(self.auth_delay)
        if self.answer is not None:
            raise RefusedError(*self.answer)
        self._authenticate(startup.user, password[: self.longest_token])
        return await self._open_session(client, startup)

    def _authenticate(self, user: str, password: bytes) -> None:
        decision = self._decide(user, password)
        self.records.add(decision)
        if not decision.granted:
            raise RefusedError("28000", f'PAM authentication failed for user "{user}"')

    def _decide(self, user: str, password: bytes) -> Decision:
        now = self._clock() + self.clock_offset
        refused = Decision(now, user, granted=False)
        if self.refuse_next > 0:
            self.refuse_next -= 1
            detail = "refused because refuse_next said so"
            return replace(refused, reason="InternalError", detail=detail)
        if not self._ceiling.admit(time.monotonic()):
            detail = f"more than {self.ceiling} authentications in a second"
            return replace(refused, reason="ThrottlingException", detail=detail)
        if len(password) > MAX_TOKEN:
            detail = f"the password has {len(password)} bytes, no token is longer than {MAX_TOKEN}"
            return replace(refused, reason="InvalidToken", detail=detail)
        return verify(
            password.decode(errors="replace"), user, self._endpoint, self._identities, now
        )

    @staticmethod
    async def _ask(question: Coroutine[None, None, _T]) -> _T:
        try:
            return await question
        except (*FAILURES, ServerError):
            raise RefusedError(*_NOT_ACCEPTING) from None

    async def _log_in_with_password(self, client: Client, startup: wire.Startup) -> Stream | None:
        """Let the real server decide; None if it did not let the client in, and has said why."""
        now = self._clock() + self.clock_offset
        if self.auth_delay:
            await asyncio.sleep(self.auth_delay)
        if self.refuse_next > 0:
            self.refuse_next -= 1
            self.records.add(password_login.decision(now, startup.user, "refuse_next said so"))
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
                raise RefusedError(*_NOT_ACCEPTING) from None
            # Before the client learns of it, so that no caller sees a login without its decision.
            self.records.add(password_login.decision(now, startup.user, refusal))
            client.writer.write(outcome)
            if refusal is not None:
                return None
            undo.pop_all()
        return server

    async def _connect(self) -> Stream:
        try:
            return await self._backend.connect()
        except OSError:
            raise RefusedError(*_NOT_ACCEPTING) from None

    async def _open_session(
        self, client: Client, startup: wire.Startup
    ) -> Stream | session_reuse.Session:
        if self.reuse_sessions:
            try:
                session, welcome = await self._sessions.open(startup)
            except FAILURES:
                raise RefusedError(*_NOT_ACCEPTING) from None
            client.writer.write(welcome)
            return session
        await self._refuse_as_the_server_would(startup)
        server = await self._connect()
        try:
            client.writer.write(await self._backend.log_in_as(*server, startup))
        except FAILURES:
            server[1].transport.abort()
            raise RefusedError(*_NOT_ACCEPTING) from None
        except BaseException:
            server[1].transport.abort()
            raise
        return server

    async def _refuse_as_the_server_would(self, startup: wire.Startup) -> None:
        """Where the session is the emulator's own user's, look at what is not let in by itself."""
        if not self._backend.shared_login:
            return
        present = sum(user == startup.user for user in self._present.values())
        obstacle = await self._ask(self._roles.obstacle(startup.user, startup.database, present))
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
