"""`rds_iam_stats`: what an engine has done and has in hand, told without sending a request."""

from __future__ import annotations

import dataclasses
import gc
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from events_support import Seen
from faults_support import LIFE, Clock, Provider
from patience import DEADLINE
from rds_secret_support import LogIn
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam import ConfigError, CredentialsError, Stats, rds_iam_stats
from sqlalchemy_rds_iam.testing import RdsEmulator, Secret

Connect = Callable[..., Database]
PATIENT = {"rds_iam_throttle_retry": "on"}
COUNTS = (
    "connects",
    "minted",
    "renewed",
    "refused",
    "throttled",
    "retried",
    "outages",
    "failovers",
)
URL = "postgresql+psycopg://app@db.abc123.us-east-1.rds.amazonaws.com/app"


def _stats(database: Database) -> Stats:
    return rds_iam_stats(database._async_engine if database.is_async else database.engine)


def _counts(stats: Stats) -> dict[str, int]:
    return {name: getattr(stats, name) for name in COUNTS if getattr(stats, name)}


def test_an_engine_that_has_done_nothing(rds: RdsEmulator, connect: Connect) -> None:
    """Its endpoint is known, its identity not yet; no request is sent."""
    database = connect()
    stats = _stats(database)
    assert _counts(stats) == {}
    assert stats.outage is stats.credentials_age is stats.identity.access_key is None
    [endpoint] = stats.endpoints
    assert endpoint.endpoint[:3] == (database.signed_host, rds.endpoint.port, "app")
    assert endpoint.token_age is endpoint.token_left is endpoint.accepted_age is None
    assert rds.decisions == []


def test_what_has_been_done(rds: RdsEmulator, connect: Connect, own_turns: None) -> None:
    """Accepted logins, tokens and fetches are counted; ages are of what is in hand."""
    database = connect(poolclass=NullPool)
    for _ in range(5):
        database.scalar("select 1")
    stats = _stats(database)
    assert _counts(stats) == {"connects": 5, "minted": 1, "renewed": 1}
    assert stats.plugin == "rds_iam"
    assert stats.identity.provider == "env"
    assert stats.identity.access_key.endswith(rds.key.access_key[-4:])
    assert 0 <= stats.credentials_age < 5
    assert stats.credentials_left is None
    [endpoint] = stats.endpoints
    assert 0 <= endpoint.token_age < DEADLINE
    assert 900 - DEADLINE < endpoint.token_left <= 900
    assert 0 <= endpoint.accepted_age < DEADLINE
    assert endpoint.connect_rate == pytest.approx(200)
    assert (endpoint.waiting, endpoint.throttles, endpoint.cuts) == (0, 0, 0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.connects = 0  # type: ignore[misc]


def test_counts_are_those_of_the_hook(
    rds: RdsEmulator, connect: Connect, seen: Seen, hasty: None, own_turns: None
) -> None:
    """After refusals of all sorts the counts are those of the events, and of the server."""
    database = connect(rds_iam_on_event=seen, options=PATIENT, poolclass=NullPool)
    database.inside.reload_at_once()
    for refusals in (1, 2, 0):
        rds.gateway.refuse_next = refusals
        database.scalar("select 1")
    stats = _stats(database)
    told = Counter(seen.kinds)
    assert _counts(stats) == {"connects": 3, **told}
    assert told["throttled"] == 2
    assert stats.refused == sum(not decision.granted for decision in rds.decisions) == 3
    [endpoint] = stats.endpoints
    assert (endpoint.throttles, endpoint.cuts) == (2, 1)
    assert endpoint.connect_rate < 200


def test_a_storm_is_counted(connect: Connect) -> None:
    """Threads and tasks that connect at the same moment are counted, each."""
    database = connect(options={"rds_iam_connect_rate": "0"}, poolclass=NullPool)
    assert database.storm(30) == [1] * 30
    stats = _stats(database)
    assert (stats.connects, stats.minted, stats.renewed) == (30, 1, 1)
    assert stats.endpoints[0].connect_rate is None


def test_an_outage(
    open_database: Connect,
    container: Provider,
    clock: Clock,
    impatient: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While fetching fails the snapshot says for how long, how often and why; then no more."""
    database = open_database(poolclass=NullPool)
    database.scalar("select 1")
    assert 0 < _stats(database).credentials_left <= LIFE
    container.fail("500", monkeypatch)
    clock.offset += LIFE
    for _ in range(2):
        database.raises(CredentialsError)
        clock.offset += 10
    stats = _stats(database)
    assert stats.outages == 1
    assert stats.credentials_left < 0
    assert stats.outage.failures == 2
    assert 19 < stats.outage.age < 20 + DEADLINE
    assert stats.outage.retry_in < 0
    assert "container-role" in stats.outage.error
    container.recover(monkeypatch)
    database.scalar("select 1")
    stats = _stats(database)
    assert stats.outage is None
    assert (stats.outages, stats.renewed) == (1, 2)


def test_a_queue(connect: Connect) -> None:
    """Connects that wait for their turn are counted while they do."""
    database = connect(options={"rds_iam_connect_rate": "10"}, poolclass=NullPool)
    database.scalar("select 1")
    waiting: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.001):
            waiting.append(_stats(database).endpoints[0].waiting)

    watcher = threading.Thread(target=watch)
    watcher.start()
    database.storm(12)
    over.set()
    watcher.join()
    assert 5 < max(waiting) <= 12
    assert _stats(database).endpoints[0].waiting == 0


def test_with_a_secret(log_in: LogIn, secret: Secret, seen: Seen) -> None:
    """The other plugin's engines have the same snapshot; what logs in is in the identity."""
    database = log_in(secret, rds_secret_on_event=seen)
    assert _stats(database).endpoints == ()
    for _ in range(2):
        database.scalar("select 1")
    stats = _stats(database)
    assert _counts(stats) == {"connects": 2, "minted": 1, "renewed": 1}
    assert stats.plugin == "rds_secret"
    assert stats.identity.secret == secret.arn
    [endpoint] = stats.endpoints
    assert endpoint.endpoint.user == secret.fields()["username"]
    assert endpoint.token_left is endpoint.connect_rate is None
    # Whichever version let them in.
    secret.rotate()
    database.scalar("select 1")
    assert _stats(database).connects == 3


def test_beside_other_listeners(rds: RdsEmulator) -> None:
    """Listeners of the application, before and after, and options of the engine hide nothing."""
    engine = create_engine(rds.url())
    called = []

    def listen(*_: Any) -> None:
        called.append(1)

    event.listen(Engine, "do_connect", listen)
    event.listen(engine, "do_connect", lambda *_: called.append(2))
    try:
        with engine.connect():
            pass
        options = engine.execution_options(isolation_level="AUTOCOMMIT")
        assert rds_iam_stats(engine).connects == rds_iam_stats(options).connects == 1
    finally:
        event.remove(Engine, "do_connect", listen)
    assert called == [1, 2]
    engine.dispose()


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (lambda: create_engine(URL), "without the plugins rds_iam and rds_secret"),
        (lambda: create_engine(f"{URL}?plugin=rds_iam&rds_iam_enabled=off"), "do not switch it"),
        (lambda: create_async_engine(URL), "without the plugins"),
        (lambda: URL, "expected an Engine or an AsyncEngine"),
        (lambda: None, "NoneType"),
    ],
)
def test_what_has_no_stats(what: Any, says: str, ca: str) -> None:
    """An engine without a plugin, and what is no engine, is an error that says so."""
    with pytest.raises(ConfigError, match=says):
        rds_iam_stats(what())


def test_nothing_is_kept(ca: str) -> None:
    """A snapshot does not keep its engine."""
    engine = create_engine(f"{URL}?plugin=rds_iam")
    stats, gone = rds_iam_stats(engine), weakref.ref(engine)
    del engine
    gc.collect()
    assert gone() is None
    assert stats.endpoints
