"""Whole fleets on a clock of their own: what is promised of every order of events.

The server is modelled, as a real one has only the real time; the model is held to the real one.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from fleet_model import FOREVER, Fleet, Model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis_support import Server, most

from sqlalchemy_rds_iam._ratelimit import redis_store as storages
from sqlalchemy_rds_iam._ratelimit.limiter import HEADROOM
from sqlalchemy_rds_iam._ratelimit.redis_store import HORIZON, Storage
from sqlalchemy_rds_iam._ratelimit.shared_limiter import LOST


@pytest.fixture(autouse=True)
def _calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of outages are not to be read about."""
    monkeypatch.setattr(storages.logger, "disabled", True)


@given(
    size=st.integers(1, 6),
    rate=st.sampled_from([1, 2, 7, 20, 40, 200, 1000]),
    arrivals=st.lists(st.tuples(st.integers(0, 5), st.floats(0, 2)), min_size=1, max_size=200),
    storm=st.integers(0, 120),
    seed=st.integers(0, 2**32),
    late=st.sampled_from([0.0, 0.002, 0.02, 0.2]),
    trip=st.sampled_from([0.0, 0.001, 0.01, 0.0199]),
    quitters=st.sampled_from([0.0, 0.2]),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_second_holds_too_many(
    size: int,
    rate: int,
    arrivals: list[tuple[int, float]],
    storm: int,
    seed: int,
    late: float,
    trip: float,
    quitters: float,
) -> None:
    """Whenever they come, wake up and give up: at most the rate in any second, and none lost."""
    fleet = Fleet(size, rate, seed)
    fleet.late = lambda: fleet.chance.uniform(0, late)
    fleet.trip = lambda: fleet.chance.uniform(0, trip)
    fleet.gives_up = lambda: fleet.chance.random() < quitters
    for who, at in arrivals:
        fleet.arrive(who % size, at)
    for _ in range(storm):
        fleet.arrive(0, 1.0)
    fleet.run()
    together = [start for each in fleet.starts for start in each]
    assert len(together) + fleet.given_up == len(arrivals) + storm
    assert not together or most(together) <= rate


@given(
    size=st.integers(1, 4),
    rate=st.sampled_from([7, 40, 200]),
    seed=st.integers(0, 2**32),
    outages=st.lists(st.tuples(st.floats(0, 4), st.floats(0, 2)), max_size=4),
    trip=st.sampled_from([0.001, 0.1, 2 * LOST]),
    jump=st.sampled_from([0, 0, -3600, -2, 3600]),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_outages(
    size: int, rate: int, seed: int, outages: list[tuple[float, float]], trip: float, jump: int
) -> None:
    """However the server fails, hangs and sets its clock, no connect is lost or comes too early."""
    fleet = Fleet(size, rate, seed)
    fleet.trip = lambda: fleet.chance.uniform(0, trip)
    fleet.fails = lambda now: any(begin <= now < begin + length for begin, length in outages)
    fleet.at(1.0, lambda: fleet.set_clock(jump))
    count = rate * 3 // size
    for who in range(size):
        for _ in range(count):
            fleet.arrive(who, fleet.chance.uniform(0, 0.5))
    fleet.run()
    assert [len(starts) for starts in fleet.starts] == [count] * size
    slow = min(trip, LOST) if trip > 0.02 else 0.0
    assert all(most(starts) <= rate * (1 + slow) + 1 for starts in fleet.starts)
    last = max(start for starts in fleet.starts for start in starts)
    assert last <= 3.5 * HEADROOM + 1 + 3 * (trip > 0.1) + 3 * HORIZON * (jump < 0)


@pytest.mark.parametrize("size", [1, 3, 8, 40])
def test_a_storm_takes_no_longer_than_it_has_to(size: int) -> None:
    """A fleet of any size uses the whole rate, asks little, and each process gets a fair share."""
    fleet = Fleet(size, 200, 0)
    fleet.late = lambda: fleet.chance.expovariate(1000)
    count = 2000 // size
    for who in range(size):
        for _ in range(count):
            fleet.arrive(who, 0.0)
    fleet.run()
    ends = [max(starts) for starts in fleet.starts]
    assert max(ends) < 10 * HEADROOM * 1.02 + 0.02
    assert min(ends) > (0.9 if size < 20 else 0.4) * max(ends)
    assert fleet.model.calls < 2000 / 3


def test_when_the_others_are_done() -> None:
    """A process that is left alone with the rate uses all of it at once."""
    fleet = Fleet(4, 200, 0)
    for who, count in enumerate([100, 100, 100, 700]):
        for _ in range(count):
            fleet.arrive(who, 0.0)
    fleet.run()
    assert max(fleet.starts[3]) < 1000 / 200 * HEADROOM * 1.02


@pytest.mark.parametrize("rate", [20, 200])
def test_far_away(rate: int) -> None:
    """Round trips that take as long as many turns do cost none of them."""
    fleet = Fleet(2, rate, 0)
    fleet.trip = lambda: fleet.chance.uniform(0.08, 0.12)
    for number in range(5 * rate):
        fleet.arrive(number % 2, 0.0)
    fleet.run()
    assert max(max(starts) for starts in fleet.starts) < 5 * HEADROOM * 1.05 + 0.5


def test_clocks_are_compared_by_the_fastest_round_trip() -> None:
    """When a slow answer's turns begin is known as well as before, until a clock is set."""
    model, storage, now = Model(), Storage("redis://nowhere"), 100.0

    class Slow:
        def eval(self, *arguments: Any) -> list[int]:
            nonlocal now
            now += there
            model.now = round((1_700_000_000 + ahead + now) * 1e6)
            answer = model.eval(*arguments)
            now += back
            return answer

    client: Any = Slow()
    storage._client = client
    widths = []
    trips = [(0.2, 0.1, 0), (0.001, 0.001, 0), (0.1, 0.1, 0), (0.1, 0.1, -50)]
    for there, back, ahead in trips:  # noqa: B007  (the server looks at them)
        turns = storage.reserve("db", 1, 0.0, lambda: now)
        assert turns.earliest - 1e-6 <= now - back <= turns.latest + 1e-6
        widths.append(turns.latest - turns.earliest)
    assert widths == pytest.approx([0.3, 0.002, 0.002, 0.2], abs=0.001)


def test_more_processes_than_turns() -> None:
    """A burst of processes with one connect each: all get their turn, and no turn is wasted."""
    fleet = Fleet(1000, 200, 0)
    for who in range(1000):
        fleet.arrive(who, 0.0)
    fleet.run()
    last = max(start for starts in fleet.starts for start in starts)
    assert last < 1000 / 200 * HEADROOM * 1.05
    assert fleet.model.calls < 10 * 1000


@given(rate=st.sampled_from([20, 200]), lost=st.integers(1, 5))
def test_connects_that_never_come_back(rate: int, lost: int) -> None:
    """Turns that are neither used nor given back hold up no connect for long."""
    fleet = Fleet(1, rate, 0)
    fleet.limiters[0].enqueue(0.0, FOREVER)
    for _ in range(lost):
        fleet.limiters[0].enqueue(0.0, FOREVER)
    for number in range(30):
        fleet.arrive(0, 0.001 * number)
    fleet.run()
    assert max(fleet.starts[0]) < (31 + 2 * lost) * HEADROOM / rate + 0.1


def test_steady_connects_share_requests() -> None:
    """Connects that come one after the other ask the server far less often than they come."""
    fleet = Fleet(1, 200, 0)
    for number in range(200):
        fleet.arrive(0, number * 0.01)
    fleet.run()
    delays = [start - number * 0.01 for number, start in enumerate(fleet.starts[0])]
    assert fleet.model.calls < 100
    assert sum(delay > 0.0001 for delay in delays) < 100
    assert max(delays) < 0.01


@pytest.mark.parametrize("ahead", [-1.0, 0.0, 0.3, 0.99, 1.01, 2.9, 3.1])
def test_the_model_is_the_server(
    redis_server: Server, ahead: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script on a real server and the model give the same answers and remember the same."""
    model, real = Model(), Storage(redis_server.url)
    free = redis_server.now() + round(ahead * 1e6)
    redis_server.admin.set("rds_iam:db", free)
    calls: list[tuple[Any, Any]] = []
    asks = real._client.eval

    def listen_in(*request: Any) -> Any:
        calls.append((request, asks(*request)))
        return calls[0][1]

    monkeypatch.setattr(real._client, "eval", listen_in)
    begun = time.monotonic()
    turns = real.reserve("db", 7, 0.005, time.monotonic)
    ended = time.monotonic()
    [(request, answer)] = calls
    # At the moment at which the server was asked, as time goes on for it.
    model.now, model.free = answer[0], free
    assert model.eval(*request) == answer
    assert int(redis_server.admin.get("rds_iam:db") or 0) == model.free
    wait = answer[1] / 1e6
    assert turns.granted == (wait <= HORIZON)
    assert begun + wait <= turns.latest
    assert turns.earliest <= ended + wait
