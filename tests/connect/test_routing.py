"""Where the statements of a routing session go: asked of the database, in both worlds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pair_support import Note, Pair, add
from sqlalchemy import (
    Sequence,
    delete,
    func,
    insert,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import aliased
from sqlalchemy.schema import CreateTable

from sqlalchemy_rds_iam import (
    RdsIamError,
    RoutingError,
    RoutingSession,
)

Body = Callable[[RoutingSession], Any]


READS: dict[str, Callable[[], Any]] = {
    "select": lambda: select(Note),
    "columns": lambda: select(Note.id, func.count()).group_by(Note.id),
    "subquery": lambda: select(aliased(Note, select(Note).subquery())),
    "cte": lambda: select(select(Note.id).cte().c.id),
    "union": lambda: union_all(select(Note.id), select(Note.id)),
    "exists": lambda: select(select(Note).exists()),
    "text-fragment": lambda: select(Note).where(text("id > 0")),
    "from-statement": lambda: select(Note).from_statement(select(Note)),
    "where-in": lambda: select(Note).where(Note.id.in_([1, 2, 3])),
}


WRITES: dict[str, Callable[[], Any]] = {
    "insert": lambda: insert(Note).values(words="x"),
    "insert-core": lambda: insert(Note.__table__).values(words="x"),
    "insert-returning": lambda: insert(Note).values(words="x").returning(Note),
    "update": lambda: update(Note).values(words="y"),
    "delete": lambda: delete(Note),
    "for-update": lambda: select(Note).with_for_update(),
    "for-share": lambda: select(Note).with_for_update(read=True),
    "for-update-within": lambda: select(select(Note).with_for_update().subquery()),
    "dml-in-cte": lambda: select(insert(Note).values(words="x").returning(Note.id).cte().c.id),
    "dml-beside": lambda: select(1).add_cte(delete(Note).cte()),
    "dml-in-union": lambda: union_all(
        select(Note.id), select(insert(Note).values(words="x").returning(Note.id).cte().c.id)
    ),
    "from-statement-dml": lambda: select(Note).from_statement(
        insert(Note).values(words="x").returning(Note)
    ),
    "ddl": lambda: CreateTable(Note.__table__, if_not_exists=True),  # type: ignore[arg-type]
    "next-value": lambda: select(Sequence("note_id_seq").next_value()),
}


UNKNOWN: dict[str, Callable[[], Any]] = {
    "text": lambda: text("select 1"),
    "text-columns": lambda: text("select id from note").columns(Note.id),
    "text-entities": lambda: select(Note).from_statement(text("select * from note")),
    "text-in-cte": lambda: select(text("select id from note").columns(Note.id).cte().c.id),
    "function": func.now,
}


OF_POSTGRESQL = {"dml-in-cte", "dml-beside", "dml-in-union", "next-value"}
"""What MySQL has no words for, or MariaDB others."""


def test_reads(pair: Pair, executed: list[str]) -> None:
    """Plain reads of every shape go to the reader, and are logged in there by token."""

    def body(session: RoutingSession) -> None:
        for kind, statement in READS.items():
            session.execute(statement()).all()
            assert executed.pop() == "reader", kind

    pair.session(body)
    assert executed == []


def test_writes(pair: Pair, executed: list[str]) -> None:
    """What changes or locks something, and what cannot be told, goes to the writer."""
    known = pair.writer.dialect.name == "postgresql"

    def body(session: RoutingSession) -> None:
        for kind, statement in (WRITES | UNKNOWN).items():
            if known or kind not in OF_POSTGRESQL:
                session.execute(statement())
                assert executed.pop() == "writer", kind
                session.rollback()
        if known:
            session.scalar(Sequence("note_id_seq"))
            assert executed.pop() == "writer"

    pair.session(body)
    assert executed == []


def test_write_while_forced_to_read(pair: Pair, executed: list[str]) -> None:
    """Inside on_reader() a write is an error that says so, and is not sent anywhere."""

    def body(session: RoutingSession) -> None:
        with session.on_reader():
            for statement in WRITES.values():
                with pytest.raises(RoutingError, match="inside on_reader") as caught:
                    session.execute(statement())
                assert isinstance(caught.value, RdsIamError)
            with pytest.raises(RoutingError):
                session.scalar(Sequence("note_id_seq"))
        assert executed == []
        session.execute(WRITES["insert"]())

    pair.session(body)
    assert executed == ["writer"]


def test_forced(pair: Pair, executed: list[str]) -> None:
    """on_reader() and on_writer() decide for reads, text() included, nested, and end with it."""

    def body(session: RoutingSession) -> None:
        for kind, statement in (READS | UNKNOWN).items():
            with session.on_reader():
                session.execute(statement())
                with session.on_writer():
                    session.execute(statement())
                session.execute(statement())
                with pytest.raises(ZeroDivisionError), session.on_writer():
                    raise ZeroDivisionError
                session.execute(statement())
            session.rollback()
            session.execute(READS["select"]())
            assert executed == ["reader", "writer", "reader", "reader", "reader"], kind
            executed.clear()

    pair.session(body)


def test_pending_changes_survive_on_reader(pair: Pair) -> None:
    """The autoflush that on_reader() refuses loses nothing, and no_autoflush reads past it."""

    def body(session: RoutingSession) -> None:
        kept = add(session, "kept")
        session.commit()
        session.add(Note(words="new"))
        kept.words = "changed"
        with session.on_reader():
            with pytest.raises(RoutingError, match="no_autoflush"):
                session.scalars(select(Note)).all()
            with pytest.raises(RoutingError):
                session.commit()
            with session.no_autoflush:
                assert session.scalar(select(func.count()).select_from(Note)) == 1
        session.commit()
        assert set(session.scalars(select(Note.words))) == {"changed", "new"}
        session.delete(kept)
        with session.on_reader(), pytest.raises(RoutingError):
            session.flush()

    pair.session(body)


@pytest.mark.parametrize("way", ["bulk_save_objects", "bulk_insert_mappings"])
def test_bulk(pair: Pair, executed: list[str], way: str) -> None:
    """Bulk operations write to the writer, and are refused inside on_reader()."""
    rows: Any = {
        "bulk_save_objects": lambda session: session.bulk_save_objects([Note(words="x")]),
        "bulk_insert_mappings": lambda session: session.bulk_insert_mappings(
            Note, [{"words": "x"}]
        ),
    }[way]

    def body(session: RoutingSession) -> None:
        with session.on_reader(), pytest.raises(RoutingError):
            rows(session)
        session.rollback()
        assert executed == []
        rows(session)
        session.execute(insert(Note), [{"words": "y"}, {"words": "z"}])

    pair.session(body)
    assert set(executed) == {"writer"}


@pytest.mark.parametrize("pair_world", ["psycopg", "psycopg-async", "asyncpg"], indirect=True)
def test_function_that_writes(pair: Pair) -> None:
    """A function that writes inside a SELECT cannot be told: the reader refuses it."""
    statement = select(func.nextval("note_id_seq"))

    def body(session: RoutingSession) -> None:
        with pytest.raises(DBAPIError, match="read-only transaction"):
            session.scalar(statement)
        session.rollback()
        with session.on_writer():
            assert session.scalar(statement) == 1

    pair.session(body)
