"""Fixtures of connecting: what is seen and printed, providers, pairs, and a Redis for a fleet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import leaks_support
import pytest
from ca_support import BUNDLE
from events_support import Seen
from families import Words
from faults_support import Clock, Way
from pair_support import READER, Base, Pair, ReaderEndpoint
from patience import DEADLINE
from providers_support import Site
from sqlalchemy import event
from sqlalchemy.pool import NullPool
from worlds import WORLDS, worlds

from sqlalchemy_rds_iam import async_token, token
from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam._ratelimit import redis_store, registry, retry_policy
from sqlalchemy_rds_iam.testing import RdsEmulator

if TYPE_CHECKING:
    from redis_support import Server


@pytest.fixture
def seen() -> Seen:
    """A hook."""
    return Seen()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[logging.LogRecord]]:
    """The log records so far that carry an event, DEBUG included."""
    caplog.set_level(logging.DEBUG, "sqlalchemy_rds_iam")
    return lambda: [record for record in caplog.records if hasattr(record, "rds_iam")]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is throttled is tried again within hundredths of a second, and others were let in."""
    monkeypatch.setattr(retry_policy, "SHORTEST_PAUSE", 0.02)
    monkeypatch.setattr(retry_policy, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(retry_policy, "WIDEST_PAUSE", 0.02)
    # On a busy machine that was not a moment ago.
    monkeypatch.setattr(retry_policy, "RECENT", DEADLINE)
    monkeypatch.setattr(retry_policy, "CURRENT", DEADLINE)


@pytest.fixture
def narrowing(
    rds: RdsEmulator,
    world: tuple[str, bool],
    databases: Callable[..., Any],
    tmp_path: Path,
) -> tuple[Any, Path]:
    """A database that trusts a large bundle, and that bundle's file."""
    drivername, is_async = world
    file = tmp_path / "global-bundle.pem"
    file.write_bytes(BUNDLE + rds.ca_file.read_bytes())
    # No limiter, which all engines share: a test may have another time.
    url = rds.url(drivername, rds_iam_ca=str(file), rds_iam_connect_rate="0")
    return databases(url, is_async=is_async, poolclass=NullPool), file


@pytest.fixture
def own_turns() -> None:
    """Turns at the full rate, whatever a test before has made of those at the same endpoint."""
    registry._limiters.clear()


@pytest.fixture
def session_key(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A temporary key in the environment, for its session token, which is sent as it is."""
    key = rds.identities.issue(rds.key.principal, lifetime=3600)
    while key.access_key[-4:].isdecimal():
        # Four digits may be found in any long number: they would prove nothing.
        key = rds.identities.issue(rds.key.principal, lifetime=3600)
    for name, value in key.environ().items():
        monkeypatch.setenv(name, value)
    return key


@pytest.fixture
def log() -> Iterator[leaks_support.Collector]:
    """Everything logged at DEBUG by any logger, formatted."""
    collector = leaks_support.Collector()
    root = logging.getLogger()
    level = root.level
    root.addHandler(collector)
    root.setLevel(logging.DEBUG)
    yield collector
    root.removeHandler(collector)
    root.setLevel(level)


@pytest.fixture
def our_frames() -> Callable[[BaseException], str]:
    """What our frames of an error's traceback hold."""
    return leaks_support.our_frames


@pytest.fixture
def signatures(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The signatures of all tokens that are made, also of those that are gone."""
    made: set[str] = set()
    usual = IssuedPassword.__init__

    def note(token: IssuedPassword, *args: Any, **kwargs: Any) -> None:
        usual(token, *args, **kwargs)
        if type(token) is IssuedPassword:
            made.add(token.password.rpartition("=")[2])

    monkeypatch.setattr(IssuedPassword, "__init__", note)
    return made


@pytest.fixture
def site(
    rds: RdsEmulator, clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: Way
) -> Site:
    """An environment with no provider in it, one way of fetching, and a clock for all."""
    return Site(rds, monkeypatch, tmp_path, way)


@pytest.fixture
def reader(rds: RdsEmulator, words: Words) -> Iterator[ReaderEndpoint]:
    """A reader endpoint, whose user may do all that the writer's user may, but in reading only."""
    rds.create_user(READER)
    for statement in words.may_read(READER):
        rds.execute(statement, "app")
    endpoint = ReaderEndpoint(rds)
    yield endpoint
    endpoint.close()


@pytest.fixture(params=worlds(("psycopg", "psycopg-async", "asyncpg", "pymysql", "asyncmy")))
def pair_world(request: pytest.FixtureRequest) -> tuple[str, bool]:
    """One sync driver of each family, and async ones."""
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


@pytest.fixture(scope="module")
def running_redis() -> Iterator[Server]:
    """A server for all of the tests here."""
    # It needs what is not on every platform.
    from redis_support import Server

    server = Server()
    yield server
    server.close()


@pytest.fixture
def redis_server(running_redis: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that knows nothing, and is soon asked again when it has failed."""
    running_redis.admin.flushall()
    redis_store._shared.clear()
    monkeypatch.setattr(redis_store, "RETRY", (0.02, 0.04))
    return running_redis


@pytest.fixture
def patient(redis_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The same server, for tests in which it is not slow but the machine may be."""
    from redis_support import be_patient

    be_patient(monkeypatch)
    return redis_server


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The level of all that was logged, in order."""
    caplog.set_level(logging.INFO, logger="sqlalchemy_rds_iam")
    return lambda: [
        record.levelname for record in caplog.records if record.name == "sqlalchemy_rds_iam"
    ]


@pytest.fixture
def collector() -> Iterator[Any]:
    """An OpenTelemetry of this test's own."""
    from otel_support import Collector  # where it is installed

    collector = Collector()
    yield collector
    collector.provider.shutdown()


@pytest.fixture(params=[token, async_token], ids=["sync", "async"])
def signs(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Either function, as one that is called."""
    if request.param is token:
        return token
    return lambda *args, **options: asyncio.run(async_token(*args, **options))
