"""Turns: never more in a second than the rate, in order, and little time lost."""

from __future__ import annotations

import bisect
import heapq
import os
import random
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import DEADLINE

from sqlalchemy_rds_iam._ratelimit.limiter import (
    CUT_PAUSE,
    HEADROOM,
    LULL,
    QueueTimeout,
    RateLimiter,
    Ticket,
)

FOREVER = float("inf")

rates = st.integers(1, 400)


def _most(starts: list[float], *, window: float = 1.0) -> int:
    """The most starts in any window of so many seconds."""
    starts = sorted(starts)
    return max(bisect.bisect_left(starts, start + window) - i for i, start in enumerate(starts))


class Crew:
    """Connects that come at certain times, wake up late, and give up, on a clock of their own."""

    def __init__(self, limiter: RateLimiter) -> None:
        self.limiter = limiter
        self.starts: list[float] = []
        self.order: list[int] = []
        self._events: list[tuple[float, int, int, Ticket | None]] = []
        self._serial = 0

    def arrive(self, at: float, who: int = 0) -> None:
        """Let one arrive at this time."""
        self._push(at, who, None)

    def run(
        self,
        late: Callable[[], float] = lambda: 0.0,
        gives_up: Callable[[int], bool] = lambda _: False,
        seen: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Run until every connect has started or given up.

        Args:
            late: how many seconds later than asked a connect wakes up.
            gives_up: whether one gives up when waking up.
            seen: told the time of every event.
        """
        while self._events:
            now, _, who, ticket = heapq.heappop(self._events)
            seen(now)
            if ticket is not None and gives_up(who):
                self.limiter.cancel()
                continue
            if ticket is None and self.limiter.try_acquire(now):
                self._start(now, who)
                continue
            ticket = (
                self.limiter.poll(ticket, now, FOREVER)
                if ticket
                else self.limiter.enqueue(now, FOREVER)
            )
            if ticket is not None:
                assert ticket.wait > 0
                self._push(now + ticket.wait + late(), who, ticket)
                continue
            self._start(now, who)

    def _start(self, now: float, who: int) -> None:
        self.starts.append(now)
        self.order.append(who)

    def _push(self, at: float, who: int, ticket: Ticket | None) -> None:
        self._serial += 1
        heapq.heappush(self._events, (at, self._serial, who, ticket))


@given(
    rate=rates,
    arrivals=st.lists(st.floats(0, 5), min_size=1, max_size=300),
    seed=st.integers(0, 2**32),
    latest=st.sampled_from([0.0, 0.01, 0.3, 5.0]),
    quitters=st.sampled_from([0.0, 0.3]),
    throttled=st.sampled_from([0.0, 0.1]),
)
def test_no_second_holds_too_many(
    rate: int,
    arrivals: list[float],
    seed: int,
    latest: float,
    quitters: float,
    throttled: float,
) -> None:
    """Whenever they come, wake up and give up, no window of a second holds more than the rate."""
    chance = random.Random(seed)
    crew = Crew(RateLimiter(rate))
    for at in arrivals:
        crew.arrive(1000 + at)

    def seen(now: float) -> None:
        if chance.random() < throttled:
            crew.limiter.throttled(now)

    crew.run(
        late=lambda: chance.uniform(0, latest),
        gives_up=lambda _: chance.random() < quitters,
        seen=seen,
    )
    if crew.starts:
        assert _most(crew.starts) <= rate


@pytest.mark.parametrize("rate", [1, 7, 40, 200, 1000])
def test_a_storm_takes_no_longer_than_it_has_to(rate: int) -> None:
    """Connects that come at once start in order, the first at once, nearly at the full rate."""
    crew = Crew(RateLimiter(rate))
    for who in range(10 * rate):
        crew.arrive(1000, who)
    crew.run()
    assert crew.order == list(range(10 * rate))
    assert crew.starts[0] == 1000
    assert crew.starts[-1] - 1000 <= 10 * HEADROOM + LULL
    # Logins may be so much later than they began, some more than others.
    assert _most(crew.starts, window=1.02) <= rate


@pytest.mark.parametrize("latency", [0.0, 0.001, 0.004])
def test_one_after_the_other(latency: float) -> None:
    """A single caller that connects again and again gets nearly the full rate."""
    limiter, now, gone = RateLimiter(200), 1000.0, 0
    while now < 1010.0:
        ticket = limiter.enqueue(now, FOREVER)
        while ticket is not None:
            now += ticket.wait
            ticket = limiter.poll(ticket, now, FOREVER)
        now += latency
        gone += 1
    assert gone >= 10 * 200 / HEADROOM * 0.99


def test_a_small_burst_is_free() -> None:
    """A pool that opens a few connections at once waits for none of them, again and again."""
    limiter = RateLimiter(200)
    for second in range(3):
        assert [limiter.enqueue(1000.0 + second, FOREVER) for _ in range(4)] == [None] * 4


def test_no_turn_in_time() -> None:
    """Who could not begin in time is told how many wait, and does not lengthen the queue."""
    limiter = RateLimiter(10)
    turns = [limiter.enqueue(1000.0, 1002.0) for _ in range(19)]
    assert turns[0] is None
    for _ in range(1000):
        with pytest.raises(QueueTimeout) as caught:
            limiter.enqueue(1000.0, 1002.0)
    assert caught.value.waiting == 18
    assert 2.0 < caught.value.seconds < 2.1 + LULL
    assert limiter.enqueue(1000.1, 1002.2 + LULL) is not None


def test_a_turn_given_back_is_used() -> None:
    """Connects that are cancelled while they wait do not hold up those behind them."""
    limiter = RateLimiter(10)
    turns = [limiter.enqueue(1000.0, FOREVER) for _ in range(40)]
    last = turns[-1]
    assert last is not None
    assert last.wait > 3
    for _ in turns[1:-1]:
        limiter.cancel()
    assert limiter.poll(last, 1000.2, FOREVER) is None


def test_connects_that_never_come_back() -> None:
    """Turns that are neither used nor given back do not hold up the queue for ever."""
    limiter = RateLimiter(10)
    turns = [limiter.enqueue(1000.0, FOREVER) for _ in range(40)]
    last = turns[-1]
    assert last is not None
    assert limiter.poll(last, 1000.0 + last.wait, FOREVER) is None


@pytest.mark.parametrize(("held_up", "at_once"), [(0.008, 2), (0.1, 1)])
def test_a_queue_that_was_held_up(held_up: float, at_once: int) -> None:
    """A short hold-up is made up for; after a long one the queue goes on evenly."""
    limiter = RateLimiter(200)
    turns = [ticket for _ in range(40) if (ticket := limiter.enqueue(1000.0, FOREVER))]
    first = limiter.poll(turns[0], 1000.0 + turns[0].wait, FOREVER)  # the queue has grown meanwhile
    assert first is not None
    now = 1000.0 + turns[0].wait + first.wait + held_up
    gone = [limiter.poll(ticket, now, FOREVER) is None for ticket in turns[:10]]
    assert gone == [True] * at_once + [False] * (10 - at_once)


def test_frozen_process() -> None:
    """After a process was frozen, those who waited do not all go at once, and keep their order."""
    limiter = RateLimiter(100)
    crew = Crew(limiter)
    for who in range(500):
        crew.arrive(1000, who)
    thaw = 1100.0
    crew.run(late=lambda: max(0.0, thaw - (crew.starts[-1] if crew.starts else 1000)))
    assert len(crew.starts) == 500
    assert _most(crew.starts) <= 100
    assert crew.order == list(range(500))


def test_throttling_cuts_the_rate_for_all_who_wait() -> None:
    """One cut for the logins of one second; those in the queue feel it; the rate comes back."""
    limiter = RateLimiter(100)
    crew = Crew(limiter)
    for who in range(300):
        crew.arrive(1000, who)
    noted: list[bool] = []

    def seen(now: float) -> None:
        if 1000.5 <= now < 1000.9:
            noted.append(limiter.throttled(now))

    crew.run(seen=seen)
    assert noted.count(True) == limiter.cuts == 1
    before = sum(start < 1000.5 for start in crew.starts)
    after = sum(1000.6 <= start < 1001.1 for start in crew.starts)
    assert after < 0.75 * before
    assert crew.order == list(range(300))
    assert limiter.current_rate < 100
    limiter.enqueue(1060.0, FOREVER)
    assert limiter.current_rate == pytest.approx(100)


@pytest.mark.parametrize("rate", [1, 2, 200])
def test_cut_again_and_again(rate: int) -> None:
    """The rate never falls below one a second, so that no connect waits for ever."""
    limiter = RateLimiter(rate)
    now = 1000.0
    for _ in range(100):
        now += CUT_PAUSE
        limiter.throttled(now)
    assert 1.0 <= limiter.current_rate <= max(rate / 5, 1.1)


def test_a_cut_that_leaves_no_time() -> None:
    """Who waits when the rate is cut, and then cannot begin in time, is told."""
    limiter = RateLimiter(10)
    turns = [limiter.enqueue(1000.0, 1002.0) for _ in range(19)]
    last = turns[-1]
    assert last is not None
    limiter.throttled(1000.04)
    with pytest.raises(QueueTimeout):
        limiter.poll(last, 1000.05, 1002.0)


def test_threads() -> None:
    """Threads that take turns at the same time get one each."""
    limiter = RateLimiter(1000)
    turns: list[int] = []

    def take() -> None:
        for _ in range(200):
            ticket = limiter.enqueue(1000.0, FOREVER)
            turns.append(0 if ticket is None else ticket.number)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    waiting = [number for number in turns if number]
    assert len(turns) == 1600
    assert len(set(waiting)) == len(waiting) > 1500


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_fork_with_the_lock_held() -> None:
    """A forked child is free of its parent's lock, and of those who wait there."""
    limiter = RateLimiter(10)
    assert [limiter.enqueue(1000.0, FOREVER) for _ in range(5)][1:] != [None] * 4  # some wait
    with limiter._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if limiter.enqueue(1000.2, FOREVER) is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
