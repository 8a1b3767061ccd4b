"""Support for the tests of pairs: a second endpoint on the same data, and pairs in both worlds.

The fixtures made of these are in `tests/connect/conftest.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

from families import MYSQL, words_of
from patience import SOON
from sqlalchemy import URL, ColumnElement, Engine, ForeignKey, String, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.util import greenlet_spawn

from sqlalchemy_rds_iam import (
    AsyncEnginePair,
    AsyncRoutingSession,
    EnginePair,
    RoutingSession,
    async_engine_pair,
    engine_pair,
)
from sqlalchemy_rds_iam.testing import Decision, RdsEmulator, SignedEndpoint

READER_HOST = "app-db.cluster-ro-c0ffee123456.us-east-1.rds.amazonaws.com"
READER = "app_ro"

FROM_WRITER, FROM_READER = "app", READER
"""What `who` finds at either."""

# Endpoints that no test connects to.
DOMAIN = "abc123.us-east-1.rds.amazonaws.com"
WRITER_HOST, RO_HOST = f"app.cluster-{DOMAIN}", f"app.cluster-ro-{DOMAIN}"
WRITER = f"postgresql+psycopg://app@{WRITER_HOST}:5433/app?plugin=rds_iam"
RO = f"postgresql+psycopg://{RO_HOST}"


class _User(ColumnElement[str]):
    """Who is logged in."""

    inherit_cache = True
    type = String()


@compiles(_User)
def _current_user(*_: Any, **__: Any) -> str:
    return "current_user"


@compiles(_User, "mysql")
@compiles(_User, "mariadb")
def _without_its_host(*_: Any, **__: Any) -> str:
    return MYSQL.user.removeprefix("select ")


WHO = select(_User())

T = TypeVar("T")


class Base(DeclarativeBase):
    """The tables of these tests."""


class Note(Base):
    """A row to write and to read."""

    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    words: Mapped[str] = mapped_column(String(99), default="")
    lines: Mapped[list[Line]] = relationship()


class Line(Base):
    """A row that belongs to another one."""

    __tablename__ = "line"
    id: Mapped[int] = mapped_column(primary_key=True)
    note_id: Mapped[int | None] = mapped_column(ForeignKey("note.id"))


def who(session: RoutingSession) -> Any:
    """The user that a plain SELECT of this session is logged in as."""
    return session.scalar(WHO)


def add(session: RoutingSession, words: str = "x") -> Note:
    """Write a row, and have it flushed."""
    note = Note(words=words)
    session.add(note)
    session.flush()
    return note


class ReaderEndpoint:
    """A reader endpoint of the emulated cluster, with a gateway and an address of its own.

    It shows the same data as the writer, without lag. Its user may only read, which stands for the
    replica's being one.
    """

    def __init__(
        self, rds: RdsEmulator, host: str = READER_HOST, region: str = "us-east-1"
    ) -> None:
        self._rds = rds
        self.host = host
        self.gateway = type(rds.gateway)(
            rds.gateway._backend,
            rds._running_roles,
            SignedEndpoint(host, rds.endpoint.port, region),
            rds.identities,
            rds.certificates.other_host(host),
        )
        self.start()

    @property
    def decisions(self) -> list[Decision]:
        """What was decided about each login at this endpoint."""
        return self.gateway.records.decisions

    def start(self, port: int = 0) -> None:
        """Listen on `port`."""
        self._rds._call(self.gateway.start(port=port))
        self.address = self.gateway.address

    def stop(self) -> None:
        """End all sessions and close the port."""
        self._rds._call(self.gateway.stop())

    def close(self) -> None:
        """Stop, once the sessions that are about to end have done so."""
        self._rds._call(self._drain())
        self.stop()

    async def _drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SOON):
                while len(self.gateway._tasks) > 1:  # the one that accepts
                    await asyncio.sleep(0.001)

    def url(self, drivername: str, user: str | None = READER, **query: str) -> URL:
        """The reader's URL, with only what differs from the writer's."""
        host, port = self.address
        options = {"rds_iam_host": self.host, "rds_iam_port": str(self._rds.endpoint.port)} | query
        return URL.create(drivername, user, None, host, port, query=options)


class Pair:
    """A pair, sync or async, and its sessions, behind one face."""

    def __init__(self, *args: Any, is_async: bool, **kwargs: Any) -> None:
        self.is_async = is_async
        self._undo = ExitStack()
        if is_async:
            self._runner = self._undo.enter_context(asyncio.Runner())
            self.pair: EnginePair | AsyncEnginePair = async_engine_pair(*args, **kwargs)
            self.writer, self.reader = (engine.sync_engine for engine in self.pair)
        else:
            self.pair = engine_pair(*args, **kwargs)
            self.writer, self.reader = self.pair

    def scalar(self, engine: Engine, sql: str) -> Any:
        """Run one statement on one of the engines."""

        def body() -> Any:
            with engine.begin() as connection:
                return connection.exec_driver_sql(sql).scalar()

        return self.run(body)

    def user(self, engine: Engine) -> Any:
        """Who is logged in on one of the engines."""
        return self.scalar(engine, words_of(engine.url.drivername).user)

    def session(self, body: Callable[[RoutingSession], T], **kwargs: Any) -> T:
        """Run `body` with a session over the pair, which is closed after it."""
        if isinstance(self.pair, AsyncEnginePair):
            session = AsyncRoutingSession(pair=self.pair, **kwargs)

            async def in_greenlet() -> T:
                async with session:
                    return await session.run_sync(body)  # type: ignore[arg-type]

            return self._runner.run(in_greenlet())
        with RoutingSession(pair=self.pair, **kwargs) as session:
            return body(session)

    def run(self, body: Callable[[], T]) -> T:
        """Run `body` where the engines can be used."""
        if not self.is_async:
            return body()

        async def in_greenlet() -> T:
            return await greenlet_spawn(body)

        return self._runner.run(in_greenlet())

    def close(self) -> None:
        """Dispose of the pair, and close the event loop of an async one."""
        with self._undo:
            if isinstance(self.pair, AsyncEnginePair):
                self._runner.run(self.pair.dispose())
            else:
                self.pair.dispose()
