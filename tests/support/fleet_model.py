"""A model of a server and of fleets, on a clock of their own, for the tests of whole fleets."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any

import redis

from sqlalchemy_rds_iam._ratelimit.redis_store import HORIZON, Storage
from sqlalchemy_rds_iam._ratelimit.shared_limiter import SharedRateLimiter

FOREVER = float("inf")


class Model:
    """What the script does on a server, at the time `now` (microseconds)."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000_000
        self.free = 0
        self.calls = 0
        self.connection_pool = self

    def eval(self, *arguments: Any) -> list[int]:
        """Reserve turns."""
        count, spacing, horizon = (int(argument) for argument in arguments[3:])
        self.calls += 1
        if not self.now <= self.free <= self.now + 3 * horizon:
            self.free = self.now
        wait = self.free - self.now
        if wait <= horizon:
            self.free += count * spacing
        return [self.now, wait]

    def disconnect(self) -> None:
        """Do nothing: there are no connections."""


class Answer:
    """What a client gets of a model: an answer that it has already given, or a failure."""

    def __init__(self, value: list[int] | None) -> None:
        self.value = value
        self.connection_pool = self

    def eval(self, *_: Any) -> list[int]:
        """Answer."""
        if self.value is None:
            raise redis.ConnectionError("gone")
        return self.value

    def disconnect(self) -> None:
        """Do nothing: there are no connections."""


class Fleet:
    """Processes whose connects come, wake up late and give up, and whose requests take time."""

    def __init__(self, size: int, rate: int, seed: int) -> None:
        self.chance = random.Random(seed)
        self.model = Model()
        self.epoch = self.model.now
        self.now = self.time = 0.0
        self.late: Callable[[], float] = lambda: 0.0
        self.trip: Callable[[], float] = lambda: 0.0005
        self.gives_up: Callable[[], bool] = lambda: False
        self.fails: Callable[[float], bool] = lambda _: False
        self.storages = [Storage("redis://nowhere") for _ in range(size)]
        self.limiters = [
            SharedRateLimiter(rate, each, "db", clock=lambda: self.time) for each in self.storages
        ]
        self.starts: list[list[float]] = [[] for _ in range(size)]
        self.given_up = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = itertools.count()

    def arrive(self, who: int, at: float) -> None:
        """Let one arrive at this process at this time."""
        self.at(at, lambda: self._step(who, None))

    def set_clock(self, by: int) -> None:
        """Set the server's clock, by so many seconds."""
        self.epoch += by * 1_000_000

    def run(self) -> None:
        """Run until every connect has started or given up."""
        while self._events:
            self.now, _, event = heapq.heappop(self._events)
            self.time = self.now
            event()

    def at(self, when: float, event: Callable[[], None]) -> None:
        """Let something happen at this time."""
        heapq.heappush(self._events, (when, next(self._serial), event))

    def _step(self, who: int, ticket: Any) -> None:
        limiter = self.limiters[who]
        if ticket is not None and self.gives_up():
            limiter.cancel()
            self.given_up += 1
            return
        ticket = (
            limiter.poll(ticket, self.now, FOREVER)
            if ticket
            else limiter.enqueue(self.now, FOREVER)
        )
        work: Any = limiter.background_work(self.now)
        if work is not None:
            self._send(who, work)
        if ticket is None:
            self.starts[who].append(self.now)
            return
        assert ticket.wait >= 0
        self.at(self.now + ticket.wait + self.late(), lambda: self._step(who, ticket))

    def _send(self, who: int, work: Any) -> None:
        sent, fails = self.now, self.fails(self.now)
        request = work.args[0]
        answers: list[list[int] | None] = [None]

        def serve() -> None:
            self.model.now = self.epoch + round(self.now * 1e6)
            if not fails:
                spacing, horizon = round(request.spacing * 1e6), round(HORIZON * 1e6)
                answers[0] = self.model.eval("", 1, "db", request.turns, spacing, horizon)

        def land() -> None:
            # A request looks at the clock when it begins, and then when it ends.
            times = itertools.chain([sent], itertools.repeat(self.now))
            self.limiters[who]._clock = lambda: next(times)
            client: Any = Answer(answers[0])
            self.storages[who]._client = client
            work()

        trip = self.trip()
        self.at(sent + trip * self.chance.random(), serve)
        self.at(sent + trip, land)
