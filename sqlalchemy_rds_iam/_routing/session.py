"""A session that writes to the writer and reads from the reader.

Built as "Custom Vertical Partitioning" in SQLAlchemy's ORM documentation shows, on
``Session.get_bind()``. What is not known to be a plain SELECT goes to the writer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import FromStatement, ORMExecuteState, Session, SessionTransaction
from sqlalchemy.schema import DDLElement, Sequence
from sqlalchemy.sql import ClauseElement, visitors
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.functions import next_value
from sqlalchemy.sql.selectable import ForUpdateArg, TextualSelect

from sqlalchemy_rds_iam._routing.pair import EnginePair
from sqlalchemy_rds_iam._routing.reader_fallback import outage_of
from sqlalchemy_rds_iam.errors import ConfigError, RoutingError

Bind = Literal["writer", "reader"]

_WRITES = (UpdateBase, ForUpdateArg, DDLElement, Sequence, next_value)


class RoutingSession(Session):
    """A session over a pair of engines: ``sessionmaker(class_=RoutingSession, pair=pair)``.

    A SELECT goes to the reader, unless it locks rows (``FOR UPDATE``), holds DML or a text
    statement. All else goes to the writer: flushes, DML, DDL, ``text()``, ``connection()``. Once a
    transaction has used the writer, so do its reads, and they see what it has written; after its
    end reads go to the reader again, which may lag behind.

    `on_writer` and `on_reader` force either for a block, and SQLAlchemy's own
    ``bind_arguments={"bind": engine}`` for a statement. A ``bind`` of the session itself, such as a
    test's connection, takes everything.
    """

    def __init__(
        self,
        bind: Engine | Connection | None = None,
        *,
        pair: EnginePair,
        sticky: bool = False,
        reader_fallback: bool = False,
        **kw: Any,
    ) -> None:
        """Make a session over `pair`.

        Args:
            bind: as for ``Session``; leave it out to have the session route.
            pair: the writer and the reader.
            sticky: stay on the writer from its first use until ``close()``, whatever is committed
                in between, so that replication lag hides nothing of what this session wrote.
            reader_fallback: read from the writer while the reader cannot be connected to, or is
                another kind of server than its engine wants; without it such reads fail. Not for
                what `on_reader` forces.
            kw: as for ``Session``.

        Raises:
            ConfigError: not a pair of sync engines, or ``binds`` or ``twophase``.
        """
        if not isinstance(pair, EnginePair):
            raise ConfigError(
                f"pair={pair!r}: expected an EnginePair as engine_pair() makes it; async engines "
                "go with AsyncRoutingSession"
            )
        if kw.get("binds"):
            raise ConfigError(
                "binds= and pair= both say where statements go: leave one out, or write a "
                "get_bind() of your own"
            )
        if kw.get("twophase"):
            raise ConfigError(
                "twophase=True prepares on every server of the transaction, and a reader cannot "
                "(PREPARE TRANSACTION is refused during recovery): use Session(pair.writer)"
            )
        super().__init__(bind, **kw)
        self.pair = pair
        self.sticky = sticky
        self._reader = outage_of(pair.reader) if reader_fallback else None
        self._forced: Bind | None = None
        self._used_writer = False

    def get_bind(
        self,
        mapper: Any = None,
        *,
        clause: ClauseElement | None = None,
        bind: Engine | Connection | None = None,
        **kw: Any,
    ) -> Engine | Connection:
        """The engine for a statement; called by SQLAlchemy.

        Raises:
            RoutingError: a write inside `on_reader`.
        """
        if bind is not None or self.bind is not None:
            return super().get_bind(mapper, clause=clause, bind=bind, **kw)
        wanted = "writer" if self._flushing else _wanted(clause)
        if self._forced == "reader":
            if wanted == "writer":
                raise RoutingError(_WRITE_ON_READER)
            return self.pair.reader
        stays = self._forced == "writer" or self._used_writer
        return self.pair.reader if wanted == "reader" and not stays else self.pair.writer

    def on_writer(self) -> AbstractContextManager[None]:
        """Send everything in the block to the writer, such as a read that must not lag behind."""
        return self._on("writer")

    def on_reader(self) -> AbstractContextManager[None]:
        """Send everything in the block to the reader, ``text()`` and ``connection()`` included.

        That holds even where the transaction has used the writer: what it has written is not seen.

        Raises:
            RoutingError: by a write in the block, and by the autoflush of a pending one.
        """
        return self._on("reader")

    def _fall_back(self, bind_arguments: dict[str, Any]) -> None:
        """Have a statement for a reader that is down run on the writer."""
        writer, reader = self.pair
        if self._reader is None or reader is writer or self._forced == "reader":
            return
        if self.get_bind(**bind_arguments) is reader and not self._reader.answers(self, reader):
            bind_arguments["bind"] = writer

    @contextmanager
    def _on(self, bind: Bind) -> Iterator[None]:
        before, self._forced = self._forced, bind
        try:
            yield
        finally:
            self._forced = before

    def close(self) -> None:
        """As ``Session.close()``; a sticky session leaves the writer."""
        super().close()
        self._used_writer = False

    if hasattr(Session, "reset"):  # since SQLAlchemy 2.0.22

        def reset(self) -> None:
            """As ``Session.reset()``; a sticky session leaves the writer."""
            super().reset()
            self._used_writer = False

    def invalidate(self) -> None:
        """As ``Session.invalidate()``; a sticky session leaves the writer."""
        super().invalidate()
        self._used_writer = False


_WRITE_ON_READER = (
    "a write inside on_reader(): leave the block first, or, if it is the autoflush of pending "
    "changes before a read, flush before the block or read inside session.no_autoflush"
)


@event.listens_for(RoutingSession, "do_orm_execute")
def _executes(state: ORMExecuteState) -> None:
    # SQLAlchemy leaves it out where a UNION selects mapped classes.
    state.bind_arguments.setdefault("clause", state.statement)
    session = state.session
    assert isinstance(session, RoutingSession)
    session._fall_back(state.bind_arguments)  # noqa: SLF001  (the listener is part of the class)


@event.listens_for(RoutingSession, "after_begin")
def _begun(session: Session, _transaction: SessionTransaction, connection: Connection) -> None:
    # The event, because a bind in bind_arguments does not always pass through get_bind().
    assert isinstance(session, RoutingSession)
    if connection.engine is session.pair.writer:
        session._used_writer = True  # noqa: SLF001  (the listener is part of the class)


@event.listens_for(RoutingSession, "after_transaction_end")
def _ended(session: Session, transaction: SessionTransaction) -> None:
    assert isinstance(session, RoutingSession)
    if transaction.parent is None and not session.sticky:
        session._used_writer = False  # noqa: SLF001


@event.listens_for(RoutingSession, "before_flush")
def _flushes(session: Session, _context: Any, _objects: Any) -> None:
    # Here, because an error inside the flush would roll back and lose what is pending.
    assert isinstance(session, RoutingSession)
    if session._forced == "reader":  # noqa: SLF001
        raise RoutingError(_WRITE_ON_READER)


def _wanted(clause: ClauseElement | None) -> Bind | None:
    """Who is to run `clause`: the writer must, a reader can, or None where that cannot be told."""
    if clause is None:
        return None
    # On its own a sequence cannot be looked into.
    parts = [clause] if isinstance(clause, _WRITES) else list(visitors.iterate(clause))
    if any(isinstance(part, _WRITES) for part in parts):
        return "writer"
    # A text statement is not looked into, even as a part of another one.
    # Older versions of SQLAlchemy do not tell what kind of statement a FromStatement holds.
    statement = clause.element if isinstance(clause, FromStatement) else clause
    plain = getattr(statement, "is_select", False) and not any(
        isinstance(part, TextualSelect) for part in parts
    )
    return "reader" if plain else None
