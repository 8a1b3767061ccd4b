"""A routing session in use: transactions, the ORM's own loading, a reader that is down."""

from __future__ import annotations

from typing import Any

import pytest
from families import Words
from pair_support import FROM_READER, FROM_WRITER, READER, WHO, Line, Note, Pair, add, who
from sqlalchemy import (
    event,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import NullPool

from sqlalchemy_rds_iam import (
    AsyncEnginePair,
    AsyncRoutingSession,
    ConfigError,
    EnginePair,
    RoutingError,
    RoutingSession,
    engine_pair,
)

THEN_FAIL = pytest.mark.parametrize("end", ["commit", "rollback", "close"])


@THEN_FAIL
def test_reads_follow_the_writer(pair: Pair, end: str) -> None:
    """A transaction that has written reads its own writes; after it reads go to the reader."""

    def body(session: RoutingSession) -> None:
        assert who(session) == FROM_READER
        add(session)
        assert who(session) == FROM_WRITER
        assert session.scalar(select(func.count()).select_from(Note)) == 1
        getattr(session, end)()
        assert who(session) == FROM_READER

    pair.session(body)


@THEN_FAIL
def test_sticky(pair: Pair, end: str) -> None:
    """A sticky session stays on the writer once it has used it, until it is closed."""

    def body(session: RoutingSession) -> None:
        assert who(session) == FROM_READER
        session.commit()
        assert who(session) == FROM_READER
        add(session)
        getattr(session, end)()
        assert who(session) == (FROM_READER if end == "close" else FROM_WRITER)

    pair.session(body, sticky=True)


@pytest.mark.parametrize(
    "end",
    [
        "close",
        pytest.param(
            "reset",
            marks=pytest.mark.skipif(
                not hasattr(Session, "reset"), reason="Session.reset() came with SQLAlchemy 2.0.22"
            ),
        ),
        "invalidate",
    ],
)
def test_sticky_ends(pair: Pair, end: str) -> None:
    """Each way of closing a sticky session lets it read from the reader again."""

    def body(session: RoutingSession) -> None:
        add(session)
        session.commit()
        getattr(session, end)()
        assert who(session) == FROM_READER

    pair.session(body, sticky=True)


def test_autoflush(pair: Pair) -> None:
    """Pending changes are flushed before a select, which then sees them on the writer."""

    def body(session: RoutingSession) -> None:
        session.add(Note(words="pending"))
        assert session.scalars(select(Note.words)).all() == ["pending"]
        assert who(session) == FROM_WRITER

    pair.session(body)


def test_get_refresh_and_lazy_loads(pair: Pair) -> None:
    """What the ORM loads on its own follows the same rules, locks included."""

    def body(session: RoutingSession) -> None:
        note = add(session)
        key = note.id
        session.commit()
        writer, reader = session.pair
        seen: list[Any] = []
        event.listen(session, "after_begin", lambda _s, _t, c: seen.append(c.engine))
        assert note.words == "x"  # expired by the commit
        assert note.lines == []
        session.refresh(note)
        assert session.get(Note, key, populate_existing=True) is note
        assert seen == [reader]
        session.rollback()
        session.refresh(note, with_for_update=True)
        session.rollback()
        session.get(Note, key, with_for_update=True)
        assert seen == [reader, writer, writer]

    pair.session(body)


def test_flush_reads_from_the_writer(pair: Pair, executed: list[str]) -> None:
    """What a flush has to load, it loads from where it is about to write."""

    def body(session: RoutingSession) -> None:
        note = add(session)
        note.lines = [Line(), Line()]
        session.commit()
        session.refresh(note)
        session.expire(note, ["lines"])
        executed.clear()
        session.delete(note)
        assert executed == []
        session.flush()

    pair.session(body)
    assert len(executed) > 2
    assert set(executed) == {"writer"}


def test_connection(pair: Pair) -> None:
    """connection() is the writer's, and counts as using it, unless the reader is forced."""

    def body(session: RoutingSession) -> None:
        with session.on_reader():
            assert session.connection().engine is session.pair.reader
        assert who(session) == FROM_READER
        assert session.connection().engine is session.pair.writer
        assert who(session) == FROM_WRITER

    pair.session(body)


@pytest.mark.parametrize("how", ["execute", "connection"])
def test_bind_arguments(pair: Pair, words: Words, how: str) -> None:
    """SQLAlchemy's own bind_arguments wins; using the writer that way counts, too."""

    def body(session: RoutingSession) -> None:
        binds = [{"bind": session.pair.reader}, {"bind": session.pair.writer}]
        for bind, expected in zip(binds, (FROM_READER, FROM_WRITER), strict=True):
            if how == "execute":
                found = session.scalar(text(words.user), bind_arguments=bind)  # type: ignore[arg-type]
            else:
                found = session.connection(bind_arguments=bind).scalar(WHO)  # type: ignore[arg-type]
            assert found == expected
            assert who(session) == expected

    pair.session(body)


def test_savepoints(pair: Pair) -> None:
    """A savepoint reads and writes by the same rules, and its end is not the transaction's."""

    def body(session: RoutingSession) -> None:
        with session.begin_nested():
            assert who(session) == FROM_READER
        with session.begin_nested() as savepoint:
            add(session)
            savepoint.rollback()
        assert who(session) == FROM_WRITER
        assert session.scalar(select(func.count()).select_from(Note)) == 0

    pair.session(body)


def test_session_with_a_bind(pair: Pair) -> None:
    """A session joined to a connection, as tests do it, sends everything there."""

    def body() -> None:
        with pair.writer.connect() as connection, connection.begin() as transaction:
            engines = EnginePair(pair.writer, pair.reader)
            joined = "create_savepoint"
            with RoutingSession(connection, pair=engines, join_transaction_mode=joined) as session:
                add(session)
                session.commit()
                assert who(session) == FROM_WRITER
            transaction.rollback()
        with RoutingSession(pair=engines) as session:
            assert session.scalar(select(func.count()).select_from(Note)) == 0

    pair.run(body)


def test_reader_down(pair: Pair, reader: Any) -> None:
    """Without a reader its reads fail and name its address; writing, and reading there, goes on."""
    reader.stop()
    pair.run(pair.reader.dispose)

    def body(session: RoutingSession) -> None:
        add(session)
        session.commit()
        with pytest.raises((DBAPIError, OSError)) as caught:
            who(session)
        assert str(reader.address[1]) in str(caught.value)
        session.rollback()
        with session.on_writer():
            assert session.scalar(select(func.count()).select_from(Note)) == 1

    pair.session(body)
    reader.start(reader.address[1])
    assert pair.session(who) == FROM_READER


# MySQL's drivers send a COMMIT in autocommit, too.
@pytest.mark.parametrize("pair_world", ["psycopg", "psycopg-async", "asyncpg"], indirect=True)
def test_reader_lost_before_the_commit(
    pairs: Any, pair_world: tuple[str, bool], pair: Pair, rds: Any, reader: Any, words: Words
) -> None:
    """A reader in autocommit has no part in the commit, so losing it in between loses nothing."""
    drivername, _ = pair_world
    auto = pairs(
        rds.url(drivername),
        reader.url(drivername),
        reader_options={"isolation_level": "AUTOCOMMIT"},
    )

    def body(session: RoutingSession) -> None:
        assert who(session) == FROM_READER
        add(session)
        rds.execute(words.end_sessions(READER))
        session.commit()

    auto.session(body)
    assert pair.scalar(pair.writer, "select count(*) from note") == 1


def test_one_engine(pairs: Any, pair_world: tuple[str, bool], rds: Any) -> None:
    """Over a pair without a reader a session works as any other, on one connection."""
    single = pairs(rds.url(pair_world[0]))

    def body(session: RoutingSession) -> None:
        assert who(session) == FROM_WRITER
        session.execute(text("select 1"))
        with session.on_reader():
            assert who(session) == FROM_WRITER

    single.session(body)
    assert len(rds.decisions) == 1


async def test_async_session(rds: Any, reader: Any) -> None:
    """The session's async face: its maker, forcing, streaming and reading one's writes."""
    from sqlalchemy_rds_iam import async_engine_pair

    pair = async_engine_pair(
        rds.url("postgresql+asyncpg"), reader.url("postgresql+asyncpg"), poolclass=NullPool
    )
    maker = async_sessionmaker(class_=AsyncRoutingSession, pair=pair, expire_on_commit=False)
    async with maker() as session:
        assert await session.scalar(WHO) == FROM_READER
        async for row in await session.stream(WHO):
            assert row == (FROM_READER,)
        with session.on_writer():
            assert await session.scalar(WHO) == FROM_WRITER
        await session.rollback()
        with session.on_reader():
            assert await session.scalar(text("select current_user")) == FROM_READER
            with pytest.raises(RoutingError):
                await session.execute(insert(Note))
        assert await session.scalar(text("select current_user")) == FROM_WRITER
        assert await session.scalar(WHO) == FROM_WRITER
        bind: Any = {"bind": pair.reader.sync_engine}
        assert await session.scalar(WHO, bind_arguments=bind) == FROM_READER
    await pair.dispose()


def test_refused(ca: str) -> None:
    """What cannot route raises when the session is made, and says what to use instead."""
    url = "app@db.abc123.us-east-1.rds.amazonaws.com/app?plugin=rds_iam"
    pair = engine_pair(f"postgresql+psycopg://{url}")
    other = AsyncEnginePair(*pair)  # type: ignore[arg-type]
    wrong: Any = pair
    with pytest.raises(ConfigError, match="AsyncRoutingSession"):
        RoutingSession(pair=other)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"with RoutingSession"):
        AsyncRoutingSession(pair=wrong)
    with pytest.raises(ConfigError, match=r"Session\(pair.writer\)"):
        RoutingSession(pair=pair, twophase=True)
    with pytest.raises(ConfigError, match="binds="):
        RoutingSession(pair=pair, binds={Note: pair.writer})
    maker = sessionmaker(class_=RoutingSession, pair=pair)
    assert maker().pair is pair
