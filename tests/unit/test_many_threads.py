"""What many threads do at once is counted and decided exactly, wherever one is interrupted.

On a free-threaded Python they are not even interrupted: they all go on.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import pytest
from patience import DEADLINE

from sqlalchemy_rds_iam._concurrency import Counter
from sqlalchemy_rds_iam._passwords.cache_entry import CacheEntry
from sqlalchemy_rds_iam._ratelimit.limiter import RateLimiter
from sqlalchemy_rds_iam._ratelimit.retry_policy import WINDOWS, RetryState
from sqlalchemy_rds_iam._registry import Registry

T = TypeVar("T")

THREADS, ROUNDS = 8, 200
NOW = 1000.0


@pytest.fixture(autouse=True)
def _interrupted_often() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.fixture
def at_once() -> Iterator[Callable[[Callable[[], T]], list[T]]]:
    """Run the same in all threads at the same moment; what each has returned."""
    start = threading.Barrier(THREADS)

    def run(work: Callable[[], T]) -> list[T]:
        def begin(_: int) -> T:
            start.wait(DEADLINE)
            return work()

        return list(pool.map(begin, range(THREADS)))

    with ThreadPoolExecutor(THREADS) as pool:
        yield run


def test_a_counter(at_once: Callable[[Callable[[], None]], list[None]]) -> None:
    """No count is lost, and reading it changes nothing."""
    counter = Counter()

    def count() -> None:
        for _ in range(5000):
            next(counter)
            assert counter.value > 0

    at_once(count)
    assert counter.value == counter.value == THREADS * 5000


def test_one_goes_ahead(at_once: Callable[[Callable[[], float]], list[float]]) -> None:
    """Of the first logins of a user that come at once, one goes ahead."""

    def wait(login: CacheEntry) -> float:
        return RetryState(NOW, NOW + 30).wait_for_first(login, NOW)

    for _ in range(ROUNDS):
        assert at_once(partial(wait, CacheEntry("db"))).count(0.0) == 1


def test_one_tries_again(at_once: Callable[[Callable[[], float]], list[float]]) -> None:
    """Of the first logins that are refused at once, one tries on, and the others look then."""

    def refused(login: CacheEntry, limiter: RateLimiter) -> float:
        state = RetryState(NOW, NOW + 30)
        retry = state.pause(login, limiter, NOW, certain=False, window=WINDOWS["patient"])
        assert retry is not None
        return retry.pause

    for _ in range(ROUNDS):
        pauses = at_once(partial(refused, CacheEntry("db"), RateLimiter(200)))
        assert len([pause for pause in pauses if pause]) == 1, pauses


def test_one_object_for_a_key(at_once: Callable[[Callable[[], object]], list[object]]) -> None:
    """Threads that ask for the same key at once share what one of them makes."""
    for _ in range(ROUNDS):
        found = at_once(partial(Registry[CacheEntry]().shared, "key", lambda: CacheEntry("db")))
        assert len({id(each) for each in found}) == 1
