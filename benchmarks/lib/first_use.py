"""What an engine sends besides queries, and what SQLAlchemy can be told to leave out of that.

A use is a checkout, one query, and the connection back in its pool. The first one also connects,
and looks at the server: SQLAlchemy's `Dialect.initialize`. The settings are those of the page on
AWS Lambda, which says what each of them changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Engine, text

from benchmarks.lib import measure
from benchmarks.lib.delay_proxy import DelayProxy

_NO_HSTORE = {"use_native_hstore": False}
_NO_TRANSACTION = {"isolation_level": "AUTOCOMMIT"}
_NO_ROLLBACK = _NO_TRANSACTION | {"skip_autocommit_rollback": True}

SETTINGS: dict[str, dict[str, Any]] = {
    "psycopg": _NO_HSTORE | _NO_TRANSACTION,
    "psycopg2": _NO_HSTORE | _NO_TRANSACTION,
    "psycopg_async": _NO_HSTORE | _NO_TRANSACTION,
    "asyncpg": _NO_TRANSACTION,
    "pg8000": _NO_TRANSACTION,
    "pymysql": _NO_ROLLBACK,
    "asyncmy": _NO_ROLLBACK,
    "aiomysql": _NO_ROLLBACK,
    "mysqldb": _NO_ROLLBACK,
    "mariadbconnector": _NO_ROLLBACK,
}
"""By driver, arguments of ``create_engine()`` that save round trips; with others none does."""

PING = {"pool_pre_ping": True}


class Use(NamedTuple):
    """What one use took: round trips, and seconds."""

    round_trips: int
    seconds: float


def uses(engine: Engine, proxy: DelayProxy) -> list[Use]:
    """Use a new engine, and then twice more, after which it prepares nothing any more.

    Args:
        engine: with a pool of one connection that leads through the proxy; of an async one its
            sync engine, in a greenlet.
        proxy: started over for it.
    """
    return [_use(engine, proxy.round_trips) for _ in range(3)]


def _use(engine: Engine, round_trips: Callable[[], int]) -> Use:
    before, began = round_trips(), time.perf_counter()
    with engine.connect() as connection:
        connection.execute(text("SELECT 1")).scalar_one()
    seconds = time.perf_counter() - began
    return Use(round_trips() - before, seconds)


def connect(engine: Engine, proxy: DelayProxy) -> int:
    """The round trips of a new connection alone, of an engine that knows its server by now."""
    engine.dispose()
    connection = engine.raw_connection()
    found = proxy.seen()[-1]  # the one before may have an answer to its end yet
    connection.close()
    return found.round_trips


def ways(driver: str) -> dict[str, dict[str, Any]]:
    """What is measured with a driver: arguments of ``create_engine()`` by the name of the way."""
    found = {"defaults": {}, "pool_pre_ping": PING}
    return found | {"settings": SETTINGS[driver]} if driver in SETTINGS else found


def row(driver: str, samples: Mapping[str, Sequence[Sequence[Use]]]) -> dict[str, Any]:
    """What was found out of a driver: of each way the first and the last use of each round."""
    return {
        "driver": driver,
        "first": {way: _summary([each[0] for each in taken]) for way, taken in samples.items()},
        "later": {way: _summary([each[-1] for each in taken]) for way, taken in samples.items()},
    }


def _summary(taken: Sequence[Use]) -> dict[str, float]:
    return {
        "round_trips": fewest(each.round_trips for each in taken),
        "ms": measure.percentile([each.seconds for each in taken], 0.5) * 1e3,
    }


def fewest(counts: Any) -> int:
    """A client held up between two packets may seem to wait in between; no wait goes unseen."""
    return int(min(counts))


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """What was found, as a table in Markdown."""
    columns = (
        *(("first", "defaults"), ("first", "settings"), ("later", "defaults")),
        *(("later", "pool_pre_ping"), ("later", "settings")),
    )
    return measure.table(
        ("driver", *(f"{when} use: {way}" for when, way in columns)),
        [(row["driver"], *(_cell(row[when].get(way)) for when, way in columns)) for row in rows],
    )


def _cell(found: Mapping[str, float] | None) -> str:
    return f"{found['round_trips']} ({found['ms']:.0f} ms)" if found else "-"
