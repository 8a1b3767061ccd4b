"""A pair through any faults: its reader takes no write, its writer is never a stale session."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from failover_support import INSERT, rows
from families import Words, words_of
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pair_support import Pair
from sqlalchemy import event, literal_column, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from worlds import WORLDS, on, worlds

from sqlalchemy_rds_iam import RoutingSession
from sqlalchemy_rds_iam._routing import reader_fallback
from sqlalchemy_rds_iam.testing import RdsCluster

LAGS = st.sampled_from([0.3, 0.0])


class Faults(RuleBasedStateMachine):
    """Failovers of all kinds, switch-overs, cut sessions, and transactions at both in between."""

    cluster: RdsCluster
    drivername: str
    is_async: bool
    words: Words

    def __init__(self) -> None:
        super().__init__()
        self.cluster.reset()
        self.cluster.execute("TRUNCATE written", "app")
        self.n = 0
        self.reported: set[int] = set()
        options = {"rds_iam_target_session_attrs": "standby", "rds_iam_failover_timeout": 0.2}
        self.pair = Pair(
            self.cluster.writer_url(self.drivername),
            self.cluster.reader_url(self.drivername),
            reader_options=options,
            pool_pre_ping=True,
            pool_size=1,
            max_overflow=0,
            is_async=self.is_async,
        )

    def teardown(self) -> None:
        self.pair.close()

    @initialize()
    def has_connections(self) -> None:
        self.write()
        self.read()

    @precondition(lambda self: self.cluster.standby)
    @rule(kill=st.sampled_from([False, "restart", True]), lag=LAGS, writes=st.booleans())
    def failover(self, kill: Any, lag: float, *, writes: bool) -> None:
        self.cluster.failover(lag=lag, kill=kill)
        if writes:
            self.write()

    @precondition(lambda self: self.cluster.standby)
    @rule(lag=LAGS, writes=st.booleans())
    def switch_over(self, lag: float, *, writes: bool) -> None:
        self.cluster.switch_over(lag=lag)
        if writes:
            self.write()

    @precondition(lambda self: not self.cluster.standby)
    @rule()
    def rejoin(self) -> None:
        self.cluster.rejoin()

    @rule(which=st.integers(0, 1))
    def sessions_are_ended(self, which: int) -> None:
        member = self.cluster.members[which]
        if member in {self.cluster.writer, self.cluster.standby}:
            self.cluster.kill_sessions(member)

    @rule()
    def write(self) -> None:
        """One fails at most, as a disconnect; and none is done by a session that is stale."""
        error = self._error_of_a_write()
        if error is not None:
            assert error.connection_invalidated, error
            assert self._error_of_a_write() is None
        assert self.reported <= rows(self.cluster)

    def _error_of_a_write(self) -> DBAPIError | None:
        self.n += 1

        def body(session: RoutingSession) -> bool:
            session.execute(INSERT, {"n": self.n})
            is_stale = session.scalar(text(f"SELECT {self.words.standby}"))
            session.commit()
            return bool(is_stale)

        try:
            is_stale = self.pair.session(body)
        except DBAPIError as error:
            return error
        self.reported.add(self.n)
        assert not is_stale
        return None

    @rule()
    def read(self) -> None:
        """By a standby, or not at all."""
        # The name may be late, or there is no standby; or the session was ended.
        with contextlib.suppress(SQLAlchemyError, OSError):
            assert _reads(self.pair) is True

    @rule()
    def write_by_the_reader(self) -> None:
        """What is sent to the reader by force is not written."""

        def body(session: RoutingSession) -> None:
            with session.on_reader():
                session.execute(text("INSERT INTO written VALUES (-1)"))
            session.commit()

        with pytest.raises((SQLAlchemyError, OSError)):
            self.pair.session(body)
        assert -1 not in rows(self.cluster)


@on("psycopg", "asyncpg", "pymysql")
def test_any_sequence_of_faults(cluster: RdsCluster, world: tuple[str, bool], words: Words) -> None:
    """As above."""
    Faults.cluster, Faults.words, (Faults.drivername, Faults.is_async) = cluster, words, world
    few = settings(
        max_examples=6,
        stateful_step_count=10,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],  # a sequence takes seconds, and is short enough as it is
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Faults, settings=few)


@pytest.fixture(params=worlds(("psycopg", "asyncpg", "pymysql")))
def pair_world(request: pytest.FixtureRequest) -> tuple[str, bool]:
    """A sync driver, an async one, and one of the other family."""
    return WORLDS[request.param]


@pytest.fixture
def pair(cluster: RdsCluster, pair_world: tuple[str, bool]) -> Iterator[Callable[..., Pair]]:
    """Make a pair at the cluster's endpoints."""
    drivername, is_async = pair_world
    made: list[Pair] = []

    def make(**reader_options: Any) -> Pair:
        urls = cluster.writer_url(drivername), cluster.reader_url(drivername)
        found = Pair(*urls, reader_options=reader_options, is_async=is_async, pool_pre_ping=True)
        made.append(found)
        return found

    yield make
    for each in made:
        each.close()


def _on_standby(session: RoutingSession) -> bool:
    """Whether a plain select, which goes to the reader, is answered by a standby."""
    drivername = session.get_bind().engine.url.drivername
    return bool(session.scalar(select(literal_column(words_of(drivername).standby))))


def _reads(pair: Pair, **options: Any) -> bool:
    return pair.session(_on_standby, **options)


def test_a_reader_that_is_down(cluster: RdsCluster, pair: Callable[..., Pair]) -> None:
    """By default its reads fail; where a session was told to, they go to the writer, and back."""
    both = pair()
    tried: list[object] = []
    assert _reads(both) is _reads(both, reader_fallback=True) is True
    cluster.failover(kill=True)
    cluster.kill_sessions()  # of the reader's pool, to the server that is the writer now
    event.listen(both.reader, "do_connect", lambda *_: tried.append(_))
    # What the pool still has is found out by its ping.
    with pytest.raises((DBAPIError, OSError)):
        _reads(both)
    tried.clear()
    for _ in range(5):
        assert _reads(both, reader_fallback=True) is False
    assert len(tried) == 1  # the outage is remembered
    with pytest.raises((DBAPIError, OSError)):
        _reads(both)
    outage = reader_fallback.outage_of(both.reader)
    outage.retry_at = math.inf  # however long the next line takes
    cluster.rejoin()
    assert _reads(both, reader_fallback=True) is False
    outage.retry_at = 0.0
    assert _reads(both, reader_fallback=True) is True
    assert _reads(both, reader_fallback=True) is True


def test_a_reader_that_was_promoted(
    cluster: RdsCluster, pair: Callable[..., Pair], caplog: pytest.LogCaptureFixture
) -> None:
    """It is another server than wanted, and its reads go the same way."""
    both = pair(rds_iam_target_session_attrs="standby", rds_iam_failover_timeout=0.05)
    assert _reads(both, reader_fallback=True) is True
    cluster.failover(lag=0.0, kill=True)
    cluster.names.reader.target = cluster.writer
    cluster._call(cluster.names.refresh())
    assert _reads(both, reader_fallback=True) is False
    said = [each for each in caplog.messages if "reads go to the writer" in each]
    assert len(said) == 1


def test_what_does_not_fall_back(
    cluster: RdsCluster, pair: Callable[..., Pair], words: Words
) -> None:
    """What is forced to the reader fails, as do errors that are no outage."""
    both = pair()
    cluster.failover(kill=True)

    def forced(session: RoutingSession) -> None:
        with session.on_reader():
            _on_standby(session)

    def missing(session: RoutingSession) -> None:
        session.scalar(select(literal_column("no_such_column")))

    with pytest.raises((DBAPIError, OSError)):
        both.session(forced, reader_fallback=True)
    cluster.rejoin()
    with pytest.raises(DBAPIError, match="no_such_column"):
        both.session(missing, reader_fallback=True)
    assert cluster.standby is not None
    cluster.standby.gateway.refuse_next = 100
    refused = pair()
    # Of asyncpg, as it is: old versions of SQLAlchemy do not translate errors of connecting.
    with pytest.raises(Exception, match=words.refused):
        _reads(refused, reader_fallback=True)
    assert reader_fallback.outage_of(refused.reader).retry_at is None


def test_a_transaction_stays(cluster: RdsCluster, pair: Callable[..., Pair]) -> None:
    """Once it reads from the writer, it goes on there; and a write in it is there to be read."""
    both = pair()
    cluster.failover(kill=True)

    def body(session: RoutingSession) -> tuple[Any, Any]:
        first = _on_standby(session)
        session.execute(INSERT, {"n": 7})
        cluster.rejoin()
        reader_fallback.outage_of(both.reader).retry_at = 0.0
        return first, session.scalar(
            select(literal_column("count(*)")).select_from(text("written"))
        )

    assert both.session(body, reader_fallback=True) == (False, 1)
