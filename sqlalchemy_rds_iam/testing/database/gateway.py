"""The IAM-verifying gateway, as far as it is the same for every database.

It accepts connections, judges tokens, remembers what it decided, and passes bytes once there is a
session. What is spoken before that is its subclasses'.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from sqlalchemy_rds_iam.testing.aws.identities import Identities
from sqlalchemy_rds_iam.testing.database.decisions import Records
from sqlalchemy_rds_iam.testing.database.listener import Listeners
from sqlalchemy_rds_iam.testing.database.streams import FAILURES, Client, RefusedError, close
from sqlalchemy_rds_iam.testing.database.traffic import Traffic
from sqlalchemy_rds_iam.testing.database.users import ServerError, Users
from sqlalchemy_rds_iam.testing.database.verifier import Decision, SignedEndpoint, verify
from sqlalchemy_rds_iam.testing.knobs import Knobs

logger = logging.getLogger("sqlalchemy_rds_iam.testing")

# Tokens with the longest session tokens stay well below; what is longer is none.
MAX_TOKEN = 16 * 1024

Words = tuple[str | int, ...]

_T = TypeVar("_T")
_Client = TypeVar("_Client", bound=Client)
_Session = TypeVar("_Session")
_Users = TypeVar("_Users", bound=Users[Any])


class Gateway(Knobs, ABC, Generic[_Client, _Session, _Users]):
    """Listens like an RDS instance with IAM database authentication; see `Knobs` for its faults.

    Attributes:
        records: What was decided about each login.
        reachable: While it is not set packets are swallowed, both ways: clients neither get in nor
            learn of an end.
    """

    late: Words | None = None
    """What the server says to a client that takes too long to log in; None is nothing."""
    not_accepting: Words
    """What the server says while it lets no client in."""

    def __init__(
        self,
        users: _Users,
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
        self._users = users
        self._endpoint = endpoint
        self._identities = identities
        self._clock = clock
        self.reachable = asyncio.Event()
        self.reachable.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = Listeners(self.serve)

    @property
    def address(self) -> tuple[str, int]:
        """The IP address and port the gateway listens on."""
        return self._listener.address

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Every IP address, with the port, that the gateway listens on."""
        return self._listener.addresses

    async def start(self, hosts: Sequence[str] = ("127.0.0.1",), port: int = 0) -> None:
        """Listen on `port` (0: any free one) and serve from the running loop.

        Args:
            hosts: IP addresses; all but the first are left out where the system lacks them.
            port: The same for each.

        Raises:
            OSError: The port cannot be bound.
        """
        self._listener.bind(hosts, port)
        self._listener.open()

    async def stop(self) -> None:
        """Stop listening and end every session."""
        self._listener.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def serve(self, sock: socket.socket, traffic: Traffic | None = None) -> None:
        """Serve a connection that was just accepted, here or at an endpoint of a cluster.

        Args:
            sock: The non-blocking socket, which is closed in the end.
            traffic: Of the endpoint, to be counted in.
        """
        task = asyncio.create_task(self._serve(sock, traffic))
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    @abstractmethod
    async def _receive(self, sock: socket.socket) -> _Client:
        """Read the opening of a connection that was just accepted, TLS included.

        The socket is closed on failure.
        """

    @abstractmethod
    async def _admit(self, client: _Client) -> _Session | None:
        """Take `client` to a session on the real server; None if it has been told its end."""

    @abstractmethod
    async def _pass_on(self, client: _Client, session: _Session, traffic: Traffic | None) -> None:
        """Pass bytes until one of the two has ended."""

    @abstractmethod
    def _leave(self, session: _Session) -> asyncio.StreamWriter | None:
        """What is to be closed of a session that its client has left."""

    @abstractmethod
    def _denied(self, client: _Client, user: str) -> Words:
        """What the server says to a token that is not good."""

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)

    async def _serve(self, sock: socket.socket, traffic: Traffic | None) -> None:
        client: _Client | None = None
        session: _Session | None = None
        try:
            await self._until_reachable(sock)
            async with asyncio.timeout(self.login_timeout):
                client = await self._receive(sock)
                session = await self._admit(client)
            if session is not None:
                await self._pass_on(client, session, traffic)
        except RefusedError as refused:
            assert client is not None
            client.writer.write(client.refusal(*refused.words))
        except TimeoutError:
            if client is not None and self.late is not None:
                client.writer.write(client.refusal(*self.late))
        except FAILURES as failure:
            logger.debug("a connection ended before it was a session: %r", failure)
        finally:
            left = None if session is None else self._leave(session)
            writers = [client.writer] if client is not None else []
            writers += [left] if left is not None else []
            # First of all, as a cancellation that comes now ends what gather() has not begun.
            for writer in writers:
                writer.close()
            await asyncio.gather(*(close(writer) for writer in writers))

    async def _until_reachable(self, sock: socket.socket) -> None:
        with contextlib.ExitStack() as undo:
            undo.callback(sock.close)
            await self.reachable.wait()
            undo.pop_all()

    async def _delay(self) -> None:
        if self.auth_delay:
            await asyncio.sleep(self.auth_delay)

    async def _judge(self, client: _Client, user: str, password: bytes) -> None:
        """Let a token pass that is good, in the time and with the words that the knobs say."""
        await self._delay()
        if self.answer is not None:
            raise RefusedError(*self.answer)
        self._authenticate(client, user, password[: self.longest_token])

    def _authenticate(self, client: _Client, user: str, password: bytes) -> None:
        decision = self._decide(user, password)
        if not client.encrypted:
            detail = "the password came outside of TLS"
            decision = replace(decision, granted=False, detail=detail, in_clear=True)
            decision = replace(decision, reason=decision.reason or "InvalidToken")
        self.records.add(decision)
        if not decision.granted:
            raise RefusedError(*self._denied(client, user))

    def _decide(self, user: str, password: bytes) -> Decision:
        now = self._now()
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

    def _record_password(self, user: str, refusal: str | None) -> None:
        """Remember a login by password, granted without a `refusal`."""
        decision = Decision(
            self._now(),
            user,
            granted=refusal is None,
            detail=f"user {user!r} does not use IAM, which was not asked",
            method="password",
        )
        if refusal is not None:
            decision = replace(
                decision,
                reason="PasswordAuthentication",
                detail=f"{decision.detail}; the server: {refusal}",
            )
        self.records.add(decision)

    def _now(self) -> float:
        return self._clock() + self.clock_offset

    async def _ask(self, question: Coroutine[Any, Any, _T]) -> _T:
        """What the real server answers; while it does not, no client gets in."""
        try:
            return await question
        except (*FAILURES, ServerError):
            raise RefusedError(*self.not_accepting) from None
