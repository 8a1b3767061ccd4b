"""Waiting for a turn to connect: as long as it takes, no longer than allowed, and never in vain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sqlalchemy_rds_iam import Endpoint, WaitTimeout
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._connecting.queueing import ConnectQueue
from sqlalchemy_rds_iam._passwords.cache_entry import CacheEntry
from sqlalchemy_rds_iam._ratelimit.limiter import RateLimiter
from sqlalchemy_rds_iam._ratelimit.retry_policy import FIRST, NEVER, RetryState

NOW = 1000.0
ENDPOINT = Endpoint("db.abc.us-east-1.rds.amazonaws.com", 5432, "app", "us-east-1")


class Waiting:
    """A queue that waits on a clock of its own, as fast as the test runs.

    Attributes:
        slept: the waits, in seconds.
        started: the work that was handed to threads.
        meanwhile: what happens during each wait, in turn.
    """

    def __init__(self, **options: str) -> None:
        self.now = NOW
        self.slept: list[float] = []
        self.started: list[Any] = []
        self.meanwhile: Iterator[Callable[[], None]] = iter(())
        runtime: Any = self
        config = IamOptions.take({}, options)
        self.queue = ConnectQueue(config, runtime, lambda: self.now)
        self.entry = CacheEntry(ENDPOINT)
        self.entry.accepted_at = NOW - 50

    def sleep(self, seconds: float) -> None:
        """Let this time pass."""
        self.slept.append(seconds)
        self.now += seconds
        next(self.meanwhile, lambda: None)()

    def start(self, work: Callable[[], None]) -> None:
        """Take work for a thread."""
        self.started.append(work)

    def connect(self, limiter: RateLimiter, timeout: float = 30.0) -> RetryState:
        """Wait for a turn, for no longer than `timeout`."""
        state = RetryState(self.now, self.now + timeout)
        self.queue.wait(limiter, self.entry, state)
        return state


def _busy(rate: int, waiting: int) -> RateLimiter:
    """A limiter for whose turns so many wait."""
    limiter = RateLimiter(rate)
    while limiter.waiting < waiting:
        limiter.enqueue(NOW, float("inf"))
    return limiter


def test_a_turn_that_is_there() -> None:
    """Where there is a turn a connect does not wait, and begins no work."""
    waiting = Waiting()
    waiting.connect(RateLimiter(200))
    assert (waiting.slept, waiting.started) == ([], [])


def test_one_after_the_other() -> None:
    """Connects wait until their turn has come, and no longer."""
    waiting, limiter = Waiting(), RateLimiter(10)
    begun = []
    for _ in range(31):
        waiting.connect(limiter)
        begun.append(waiting.now - NOW)
    assert begun[0] == 0
    assert 3.0 <= begun[-1] <= 3.2
    assert limiter.waiting == 0


class Shared(RateLimiter):
    """A limiter that has work for others, each time that it is asked."""

    def background_work(self, now: float) -> Callable[[], None]:
        """Name the time, so that the test knows who was asked when."""
        return lambda: waited.append(now)


waited: list[float] = []


def test_the_work_of_all() -> None:
    """A connect asks after every look at the queue, also one that goes at once, and runs none."""
    waiting, limiter = Waiting(), Shared(10)
    waiting.connect(limiter)
    assert len(waiting.started) == 1
    waiting.connect(limiter)
    assert len(waiting.slept) == 1
    assert len(waiting.started) == 3
    assert not waited
    for work in waiting.started:
        work()
    assert waited == [NOW, NOW, waiting.now]
    waited.clear()


def test_the_first_goes_ahead() -> None:
    """The others wait for what comes of the first login of all; it is let in, and they go."""
    waiting = Waiting()
    waiting.entry.accepted_at = NEVER
    waiting.connect(RateLimiter(200))
    assert waiting.slept == []
    let_in = [lambda: None] * 4 + [lambda: setattr(waiting.entry, "accepted_at", waiting.now)]
    waiting.meanwhile = iter(let_in)
    waiting.connect(RateLimiter(200))
    assert len(waiting.slept) == 5
    assert sum(waiting.slept) < FIRST


def test_the_first_does_not_come_back() -> None:
    """If nothing is heard of the first login, the others wait for a second, and then go."""
    waiting = Waiting()
    waiting.entry.accepted_at = NEVER
    waiting.connect(RateLimiter(200))
    waiting.connect(RateLimiter(200))
    assert waiting.now - NOW == pytest.approx(FIRST)


def test_where_nothing_is_tried_again() -> None:
    """Without retries a throttled login is an error anyway, and no connect waits for the first."""
    waiting = Waiting(rds_iam_throttle_retry="off")
    waiting.entry.accepted_at = NEVER
    waiting.connect(RateLimiter(200))
    waiting.connect(RateLimiter(200))
    assert waiting.slept == []


def test_no_turn_in_time() -> None:
    """The error names the place, the limit, the queue and its rate; the queue is as it was."""
    waiting, limiter = Waiting(rds_iam_timeout="2"), _busy(10, 30)
    with pytest.raises(WaitTimeout) as caught:
        waiting.connect(limiter, 2.0)
    said = str(caught.value)
    assert said.startswith(
        "no turn to connect to app@db.abc.us-east-1.rds.amazonaws.com:5432 (us-east-1) within 2 s "
        "(rds_iam_timeout): 30 connects come before this one, at 10 a second "
        "(rds_iam_connect_rate=10); 0 logins of this one were refused, as if throttled. "
    )
    for advice in (
        "Keep more connections in the pool",
        "RDS Proxy",
        "raise the rate if AWS allows more",
    ):
        assert advice in said
    assert waiting.slept == []
    assert limiter.waiting == 30
    assert caught.value.__suppress_context__


def test_a_turn_that_moves_away() -> None:
    """When the rate is cut, who has no turn in time any more leaves the queue to the others."""
    waiting, limiter = Waiting(), RateLimiter(10)
    waiting.connect(limiter)
    waiting.meanwhile = iter([lambda: _cut(limiter, waiting.now)])
    with pytest.raises(WaitTimeout, match="0 connects come before this one, at 1 a second"):
        waiting.connect(limiter, 0.5)
    assert len(waiting.slept) == 1
    assert (limiter.waiting, limiter._gone) == (0, 1)


def _cut(limiter: RateLimiter, now: float) -> None:
    limiter.throttled(now)


def test_throttled_until_the_end() -> None:
    """A user who was throttled, and not let in since, may be one who is not let in at all."""
    waiting, limiter = Waiting(), _busy(10, 30)
    state = RetryState(NOW, NOW + 2)
    state.throttled = 3
    with pytest.raises(WaitTimeout, match="; 3 logins of this one were refused, as if throttled"):
        waiting.queue.wait(limiter, waiting.entry, state)
    assert waiting.entry.accepted_at == NEVER
    waiting.entry.accepted_at = NOW + 1
    with pytest.raises(WaitTimeout):
        waiting.queue.wait(limiter, waiting.entry, state)
    assert waiting.entry.accepted_at == NOW + 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, OSError])
def test_interrupted(kind: type[BaseException]) -> None:
    """A connect that is interrupted while it waits takes no turn with it."""
    waiting, limiter = Waiting(), _busy(10, 5)

    def interrupt() -> None:
        raise kind

    waiting.meanwhile = iter([interrupt])
    with pytest.raises(kind):
        waiting.connect(limiter)
    assert limiter.waiting == 5


@pytest.mark.parametrize("kind", [KeyboardInterrupt, OSError])
def test_interrupted_before_it_waits(kind: type[BaseException]) -> None:
    """One that had its turn, or none yet, gives back none: it would be another one's."""

    class Broken(RateLimiter):
        def background_work(self, now: float) -> None:
            raise kind

    limiter = Broken(10)
    with pytest.raises(kind):
        Waiting().connect(limiter)
    assert limiter._gone == limiter._issued == 0


@pytest.mark.parametrize("first", [False, True])
def test_held_up(first: bool) -> None:
    """If it was this process that did not go on, the error says that, and not the queue."""
    waiting, limiter = Waiting(rds_iam_timeout="4"), _busy(10, 30 if first else 1)
    if first:
        waiting.entry.accepted_at, waiting.entry.first_until = NEVER, NOW + 1

    def hold_up() -> None:
        waiting.now += 10
        limiter.throttled(waiting.now)

    waiting.meanwhile = iter([hold_up])
    with pytest.raises(WaitTimeout) as caught:
        waiting.connect(limiter, 4.0)
    assert str(caught.value).startswith(
        "not connected to app@db.abc.us-east-1.rds.amazonaws.com:5432 (us-east-1) within 4 s "
        "(rds_iam_timeout): 4.0 s of them went by while this process did not go on"
    )
