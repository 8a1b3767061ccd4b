"""Server sessions that serve one client after another, as behind RDS Proxy.

What takes most of a login here is PostgreSQL forking a process for it. A session that its client
has left idle is reset with ``DISCARD ALL`` and kept for the next login with the very same startup
parameters; one that was left in the middle of something, or cannot be reset, is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from asyncio import StreamReader, StreamWriter
from collections import defaultdict
from dataclasses import dataclass, field

from sqlalchemy_rds_iam.testing.database.streams import FAILURES, Stream
from sqlalchemy_rds_iam.testing.postgresql import wire
from sqlalchemy_rds_iam.testing.postgresql.backend import Backend
from sqlalchemy_rds_iam.testing.postgresql.login import read_message
from sqlalchemy_rds_iam.testing.postgresql.tap import MessageCutter

_CHUNK = 1 << 16
# Each of these is answered by one ReadyForQuery: Query, Sync, FunctionCall.
_REQUESTS = frozenset((b"Q", b"S", b"F"))

Kinds = tuple[str, int, tuple[tuple[str, str], ...]]


@dataclass(eq=False)
class Session:
    """A session on the real server, and what its client has left it in.

    Attributes:
        greeting: What the server said first, from AuthenticationOk to ReadyForQuery or an error.
        key: The packet body of a CancelRequest for it, empty when it cannot be reused.
        alias: The same as its present client knows it.
        idle: Whether its last client has left it with nothing under way.
    """

    stream: Stream
    kind: Kinds
    greeting: list[tuple[bytes, bytes]]
    key: bytes = b""
    alias: bytes = b""
    idle: bool = False
    watch: asyncio.Task[None] | None = field(default=None, repr=False)

    def welcome(self) -> bytes:
        """What a new client is told, with a key that no client before it knew."""
        fresh = self.key[4:8] + secrets.token_bytes(len(self.key) - 8)
        self.alias = self.key[:4] + fresh
        return b"".join(
            wire.message(kind, fresh if kind == b"K" else body) for kind, body in self.greeting
        )


class Sessions:
    """The sessions that wait for their next client. For one event loop."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._waiting: defaultdict[Kinds, list[Session]] = defaultdict(list)
        self._aliases: dict[bytes, bytes] = {}
        self._resets: set[asyncio.Task[None]] = set()

    async def open(self, startup: wire.Startup) -> tuple[Session, bytes]:
        """A session with these startup parameters, and what its client is to be told.

        Raises:
            OSError: The server cannot be reached, or does not speak as it should; see `FAILURES`.
        """
        kind = startup.user, startup.version, tuple(startup.parameters.items())
        while waiting := self._waiting[kind]:
            session = waiting.pop()
            if await self._wake(session):
                break
        else:
            session = await self._new(startup, kind)
        if not session.key:
            return session, b"".join(wire.message(*each) for each in session.greeting)
        session.idle = False
        welcome = session.welcome()
        self._aliases[session.alias] = session.key
        return session, welcome

    def real_key(self, packet: bytes) -> bytes:
        """The body of a CancelRequest as the server knows it."""
        return self._aliases.get(packet, packet)

    def leave(self, session: Session) -> bool:
        """Take `session` back from its client; False if it is to be closed."""
        self._aliases.pop(session.alias, None)
        if session.idle:
            session.watch = asyncio.create_task(self._keep(session))
            self._resets.add(session.watch)
            session.watch.add_done_callback(self._resets.discard)
        return session.idle

    async def close(self) -> None:
        """End every session that waits."""
        tasks = list(self._resets)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for waiting in self._waiting.values():
            for session in waiting:
                session.stream[1].close()
        self._waiting.clear()

    async def _new(self, startup: wire.Startup, kind: Kinds) -> Session:
        stream = await self._backend.connect()
        try:
            first = await self._backend.log_in_as(*stream, startup)
            session = Session(stream, kind, [(first[:1], first[5:])])
            while session.greeting[-1][0] not in (b"E", b"Z"):
                session.greeting.append(await read_message(stream[0]))
        except BaseException:
            stream[1].transport.abort()
            raise
        keys = [body for kind, body in session.greeting if kind == b"K"]
        if session.greeting[-1][0] == b"Z" and keys:
            session.key = wire.CANCEL_REQUEST.to_bytes(4, "big") + keys[0]
        return session

    async def _keep(self, session: Session) -> None:
        """Reset a session and let it wait; close it as soon as the server says anything."""
        reader, writer = session.stream
        try:
            async with asyncio.timeout(self._backend.deadline):
                writer.write(wire.query("DISCARD ALL"))
                await _until_reset(reader)
        except (*FAILURES, TimeoutError):
            writer.transport.abort()
            return
        except BaseException:
            writer.transport.abort()
            raise
        self._waiting[session.kind].append(session)
        with contextlib.suppress(*FAILURES):
            await reader.read(1)
        # Its end has come, or a setting has changed: a new session is better than one with a past.
        with contextlib.suppress(ValueError):
            self._waiting[session.kind].remove(session)
        writer.transport.abort()

    @staticmethod
    async def _wake(session: Session) -> bool:
        """Stop watching a session that waits; False if it has ended."""
        assert session.watch is not None
        session.watch.cancel()
        await asyncio.wait([session.watch])
        return session.watch.cancelled()


async def _until_reset(reader: StreamReader) -> None:
    answer = b""
    while answer != b"Z":
        answer, _ = await read_message(reader)
        if answer == b"E":
            raise ConnectionError("the session could not be reset")


class _Conversation:
    """What is under way between a client and its session."""

    def __init__(self) -> None:
        self._asked = self._answered = 0
        self._said, self._heard = MessageCutter(), MessageCutter()

    async def listen(self, client: StreamReader, server: StreamWriter) -> None:
        """Pass on what the client says, but for its goodbye."""
        with contextlib.suppress(*FAILURES):
            while chunk := await client.read(_CHUNK):
                messages = self._said.feed(chunk)
                leaves = bool(messages) and messages[-1][:1] == b"X"
                if leaves:
                    messages.pop()
                self._asked += sum(message[:1] in _REQUESTS for message in messages)
                if messages:
                    server.write(b"".join(messages))
                    await server.drain()
                if leaves:
                    break

    async def answer(self, server: StreamReader, client: StreamWriter) -> None:
        """Pass on what the server says."""
        with contextlib.suppress(*FAILURES):
            while chunk := await server.read(_CHUNK):
                messages = self._heard.feed(chunk)
                self._answered += sum(message[:1] == b"Z" for message in messages)
                client.write(b"".join(messages))
                await client.drain()

    @property
    def idle(self) -> bool:
        """Whether all that was asked has been answered, and nothing was said by halves.

        There may be a transaction, or messages without their Sync: then ``DISCARD ALL`` fails.
        """
        return self._asked == self._answered and not self._said.rest and not self._heard.rest


async def relay(client: Stream, session: Session) -> None:
    """Pass messages between `client` and `session` until one leaves, and note how it was left.

    The caller closes the client, and hands the session to `Sessions.leave`.
    """
    conversation = _Conversation()
    listening = asyncio.create_task(conversation.listen(client[0], session.stream[1]))
    answering = asyncio.create_task(conversation.answer(session.stream[0], client[1]))
    tasks = [listening, answering]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        ended = answering.done()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    session.idle = bool(session.key) and not ended and conversation.idle
