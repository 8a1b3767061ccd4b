"""A rate that is shared through a real server: kept, cheap, and never in the way."""

from __future__ import annotations

import gc
import os
import time
from typing import Any

import pytest
from patience import SOON, eventually
from redis_support import Server, connect_at_once, lead, most, pass_through, processes

from sqlalchemy_rds_iam._ratelimit.limiter import HEADROOM, QueueTimeout
from sqlalchemy_rds_iam._ratelimit.redis_store import HORIZON, storage
from sqlalchemy_rds_iam._ratelimit.shared_limiter import LOST, SharedRateLimiter

FOREVER = float("inf")


@pytest.mark.timing
def test_processes_share_the_rate(redis_server: Server) -> None:
    """Together they keep to the rate in every second, and all get turns."""
    rate, count, size = 200, 3, 120
    before = redis_server.calls("eval")
    starts = processes(count, redis_server.url, rate, size)
    together = sorted(start for each in starts for start in each)
    assert most(together) <= rate
    ideal = count * size / rate
    # How little is lost on a machine that has nothing else to do is for the model to say.
    assert together[-1] - together[0] < 5 * ideal
    middle = (together[0] + together[-1]) / 2
    assert all(sum(start < middle for start in each) for each in starts)
    assert redis_server.calls("eval") - before < count * size / 2


@pytest.mark.timing
def test_two_endpoints_have_a_rate_each(patient: Server) -> None:
    """What is shared is the rate of one endpoint, through one client for each URL."""
    redis_server = patient
    one, other = (
        SharedRateLimiter(1, storage(redis_server.url), name) for name in ("one", "other")
    )
    assert one._storage is other._storage
    pass_through(one)
    begun = time.time()
    assert pass_through(other) - begun < 0.7
    assert pass_through(one) - begun >= 0.7


def test_one_round_trip_for_many_turns(redis_server: Server) -> None:
    """The turns of a slice cost one command, and no other caller is told to ask meanwhile."""
    limiter = SharedRateLimiter(200, storage(redis_server.url), "db")
    now = time.monotonic()
    turns = [ticket for _ in range(30) if (ticket := limiter.enqueue(now, FOREVER))]
    before = redis_server.calls("eval")
    work = limiter.background_work(now)
    assert work is not None
    assert not any(lead(limiter, now) for _ in range(30))
    assert redis_server.calls("eval") == before
    work()
    first, ninth = (limiter.poll(ticket, now, FOREVER) for ticket in (turns[0], turns[8]))
    assert first is not None
    assert ninth is not None
    assert ninth.wait - first.wait == pytest.approx(8 * HEADROOM / 200, abs=1e-4)
    now += first.wait
    for ticket in turns[:9]:
        assert limiter.poll(ticket, now, FOREVER) is None
        now += HEADROOM / 200
    assert redis_server.calls("eval") == before + 1


def test_unused_turns_are_lost(redis_server: Server) -> None:
    """No process saves up turns, and one that does not connect asks nothing."""
    limiter = SharedRateLimiter(200, storage(redis_server.url), "db")
    now = time.monotonic()
    turns = [limiter.enqueue(now, FOREVER) for _ in range(10)]
    assert lead(limiter, now)
    for _ in turns:
        limiter.cancel()
    before = redis_server.calls("eval")
    now = time.monotonic() + 0.1
    ticket = limiter.enqueue(now, FOREVER)
    assert ticket is not None
    assert redis_server.calls("eval") == before
    assert lead(limiter, now)
    assert redis_server.calls("eval") == before + 1


@pytest.mark.timing
def test_half_used_up(redis_server: Server) -> None:
    """The next slice is asked for while there are turns of the present one."""
    limiter = SharedRateLimiter(200, storage(redis_server.url), "db")
    now = time.monotonic()
    turns = [ticket for _ in range(40) if (ticket := limiter.enqueue(now, FOREVER))]
    assert lead(limiter, now)
    first = limiter.poll(turns[0], now, FOREVER)
    assert first is not None
    now += first.wait
    gone = 0
    while gone < 10:
        assert limiter.poll(turns.pop(0), now, FOREVER) is None
        gone += 1
        if lead(limiter, now):
            break
        now += HEADROOM / 200
    assert gone == 5
    assert len(limiter._reservations) == 4 + 9


@pytest.mark.timing
def test_killed_and_restarted_in_mid_use(patient: Server, said: Any) -> None:
    """Every connect gets a turn while the server dies and comes back, with one word about each."""
    redis_server = patient
    limiter = SharedRateLimiter(200, storage(redis_server.url), "db")

    def fault(gone: int) -> None:
        if gone == 20:
            redis_server.kill()
        if gone == 60:
            redis_server.start()

    starts = connect_at_once(limiter, 250, fault)
    # A process that goes over to its own tokens and back may have a burst of these on top.
    assert most(starts) <= 200 * HEADROOM + 1
    assert starts[-1] - starts[0] < SOON
    # On a busy machine it may have come back when all connects had had their turns.
    eventually(lambda: pass_through(limiter, inline=True) and len(said()) > 1)
    assert said() == ["WARNING", "INFO"]
    assert redis_server.calls("eval") > 3


@pytest.mark.timing
def test_frozen_server(redis_server: Server, said: Any) -> None:
    """A server that does not answer costs a quarter of a second once, and then nothing."""
    limiter = SharedRateLimiter(200, storage(redis_server.url), "db")
    pass_through(limiter)
    with redis_server.frozen():
        begun = time.time()
        assert 0.2 < pass_through(limiter) - begun < SOON
        begun = time.time()
        for _ in range(20):
            pass_through(limiter)
        assert time.time() - begun < 20 * 0.25
        assert said() == ["WARNING"]
    eventually(lambda: pass_through(limiter, inline=True) and len(said()) > 1)
    assert said() == ["WARNING", "INFO"]


def test_request_that_never_ends(redis_server: Server, said: Any) -> None:
    """A request that never ends holds up no connect for longer than a request may take."""
    limiter = SharedRateLimiter(200, storage(redis_server.url), "db")
    now = time.monotonic()
    ticket = limiter.enqueue(now, FOREVER)
    hanging = limiter.background_work(now)
    assert hanging is not None
    begun = now
    while ticket is not None:
        now += ticket.wait
        ticket = limiter.poll(ticket, now, FOREVER)
        assert limiter._storage.down or limiter.background_work(now) is None
    assert now - begun < 2.1 * LOST
    assert said() == ["WARNING"]
    hanging()
    assert limiter._storage.down


def test_flushed(redis_server: Server, said: Any) -> None:
    """A server that has forgotten everything, scripts included, goes on as a new one."""
    limiter = SharedRateLimiter(200, storage(redis_server.url), "db")
    for _ in range(3):
        pass_through(limiter)
        redis_server.admin.flushall()
        redis_server.admin.script_flush()
    assert said() == []


def test_turned_away(redis_server: Server) -> None:
    """Where everything is reserved for a while ahead, nothing more is, and one asks again."""
    free = redis_server.now() + round((HORIZON + 2) * 1e6)
    redis_server.admin.set("rds_iam:db", free)
    limiter = SharedRateLimiter(200, storage(redis_server.url), "db")
    now = time.monotonic()
    ticket = limiter.enqueue(now, FOREVER)
    assert lead(limiter, now)
    assert redis_server.admin.get("rds_iam:db") == str(free).encode()
    ticket = ticket and limiter.poll(ticket, time.monotonic(), FOREVER)
    assert ticket is not None
    assert 0 < ticket.wait < 2 + HORIZON
    assert not lead(limiter, time.monotonic())
    assert lead(limiter, time.monotonic() + ticket.wait)


def test_no_turn_in_time(redis_server: Server) -> None:
    """Who could not begin in time is told so at once."""
    limiter = SharedRateLimiter(10, storage(redis_server.url), "db")
    now = time.monotonic()
    for _ in range(20):
        limiter.enqueue(now, now + 2)
    with pytest.raises(QueueTimeout) as caught:
        limiter.enqueue(now, now + 1)
    assert caught.value.waiting == 20


def test_throttling_slows_down_what_is_reserved(redis_server: Server) -> None:
    """After a cut, a process asks for its turns further apart."""
    limiter = SharedRateLimiter(200, storage(redis_server.url), "db")
    now = time.monotonic()
    turns = [limiter.enqueue(now, FOREVER) for _ in range(6)]
    limiter.throttled(now)
    assert lead(limiter, now)
    second, last = (
        ticket and limiter.poll(ticket, now, FOREVER) for ticket in (turns[1], turns[4])
    )
    assert second is not None
    assert last is not None
    assert last.wait - second.wait == pytest.approx(3 * HEADROOM / limiter.current_rate, abs=1e-4)
    assert 175 < limiter.current_rate < 185


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_fork_while_asking(redis_server: Server) -> None:
    """A child of a process that holds every lock and asks has a client and turns of its own."""
    limiter = SharedRateLimiter(200, storage(redis_server.url), "db")
    pass_through(limiter)
    now = time.monotonic()
    limiter.enqueue(now, FOREVER)
    assert limiter.background_work(now)
    parents = limiter._storage._client
    with limiter._lock, limiter._storage._lock, parents.connection_pool._lock:
        child = os.fork()
        if child == 0:
            passed = False
            try:
                free = limiter._request is None
                del parents
                gc.collect()
                pass_through(SharedRateLimiter(200, storage(redis_server.url), "db"))
                pass_through(limiter, inline=True)
                passed = free and not limiter._storage.down
            finally:
                os._exit(not passed)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert parents.ping()
