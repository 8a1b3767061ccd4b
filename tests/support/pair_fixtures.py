"""Fixtures of the tests of pairs and their sessions. A test module names it in `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pair_support import READER, Base, Pair, ReaderEndpoint
from sqlalchemy import event
from worlds import WORLDS

from sqlalchemy_rds_iam.testing import RdsEmulator


@pytest.fixture
def reader(rds: RdsEmulator) -> Iterator[ReaderEndpoint]:
    """A reader endpoint, whose user may do all that the writer's user may, but in reading only."""
    rds.create_user(READER)
    rds.execute(f"ALTER ROLE {READER} SET default_transaction_read_only = on")
    for kind in ("TABLES", "SEQUENCES"):
        # All of them, so that nothing but being a reader keeps it from writing.
        grant = f"ALTER DEFAULT PRIVILEGES FOR ROLE app GRANT ALL ON {kind} TO {READER}"
        rds.execute(grant, "app")
    endpoint = ReaderEndpoint(rds)
    yield endpoint
    endpoint.close()


@pytest.fixture(params=["psycopg", "psycopg-async", "asyncpg"])
def pair_world(request: pytest.FixtureRequest) -> tuple[str, bool]:
    """One sync driver, and the async ones."""
    return WORLDS[request.param]


@pytest.fixture
def pairs(reader: ReaderEndpoint, pair_world: tuple[str, bool]) -> Iterator[Callable[..., Pair]]:
    """Make pairs of this test's world, which are closed after it, and before the endpoint is."""
    made: list[Pair] = []

    def make(*args: Any, **kwargs: Any) -> Pair:
        made.append(Pair(*args, is_async=pair_world[1], **kwargs))
        return made[-1]

    yield make
    for pair in made:
        pair.close()


@pytest.fixture
def pair(
    rds: RdsEmulator,
    reader: ReaderEndpoint,
    pairs: Callable[..., Pair],
    pair_world: tuple[str, bool],
) -> Pair:
    """A writer and a reader that are told apart by their user, and an empty table of notes."""
    drivername, _ = pair_world
    made = pairs(rds.url(drivername), reader.url(drivername))

    def prepare() -> None:
        Base.metadata.drop_all(made.writer)
        Base.metadata.create_all(made.writer)

    made.run(prepare)
    return made


@pytest.fixture
def executed(pair: Pair) -> list[str]:
    """The engines that statements were sent to."""
    seen: list[str] = []
    for name, engine in (("writer", pair.writer), ("reader", pair.reader)):
        event.listen(engine, "before_cursor_execute", lambda *_, name=name: seen.append(name))
    return seen
