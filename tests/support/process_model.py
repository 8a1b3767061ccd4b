"""One process of a fleet, a model of its server, and the clock of both."""

from __future__ import annotations

from typing import Any

from fleet_model import FOREVER, Model

from sqlalchemy_rds_iam._ratelimit.limiter import HEADROOM, Ticket
from sqlalchemy_rds_iam._ratelimit.redis_store import Storage
from sqlalchemy_rds_iam._ratelimit.shared_limiter import SharedRateLimiter

NOW = 100.0
TURN = HEADROOM / 200
"""Seconds that a turn takes at the rate of most tests."""


class Process:
    """A process, its clock, and the server, which other processes use as well.

    Attributes:
        asked: how many turns the server was asked for, each time.
        left: how many there were left then.
    """

    def __init__(self, rate: int = 200, *, trip: float = 0.0) -> None:
        self.now = NOW
        self.trip = trip
        self.broken = False
        self.asked: list[int] = []
        self.left: list[int] = []
        self.model = Model()
        self.storage = Storage("redis://nowhere")
        client: Any = self
        self.storage._client = client
        self.connection_pool = self
        self.limiter = SharedRateLimiter(rate, self.storage, "db", clock=lambda: self.now)

    def eval(self, *arguments: Any) -> list[int]:
        """Answer as the server does, in the middle of the round trip."""
        assert arguments[1:3] == (1, "rds_iam:db")
        self.asked.append(int(arguments[3]))
        self.left.append(len(self.limiter._reservations))
        self.now += self.trip / 2
        if self.broken:
            raise OSError("gone")
        self.model.now = 1_700_000_000_000_000 + round(self.now * 1e6)
        answer = self.model.eval(*arguments)
        self.now += self.trip / 2
        return answer

    def disconnect(self) -> None:
        """Do nothing: there are no connections."""

    def others_take(self, seconds: float) -> None:
        """Let other processes reserve so many seconds' worth of turns."""
        self.model.now = 1_700_000_000_000_000 + round(self.now * 1e6)
        self.model.free = max(self.model.free, self.model.now) + round(seconds * 1e6)

    def work(self) -> bool:
        """Do what there is to do; whether there was anything."""
        work = self.limiter.background_work(self.now)
        if work is not None:
            work()
        return work is not None

    def enqueue(self, *, works: bool = True) -> Ticket | None:
        """Let a connect come."""
        ticket = self.limiter.enqueue(self.now, FOREVER)
        if works:
            self.work()
        return ticket

    def poll(self, ticket: Ticket) -> Ticket | None:
        """Let it ask again."""
        found = self.limiter.poll(ticket, self.now, FOREVER)
        self.work()
        return found

    def connect(self) -> float:
        """Let a connect come and wait for its turn; how long that took."""
        began, ticket = self.now, self.enqueue()
        while ticket is not None:
            assert ticket.wait > 0
            self.now += ticket.wait
            ticket = self.poll(ticket)
        return self.now - began

    def filled(self, count: int = 8) -> list[Ticket]:
        """Let so many connects come at once, of which the first asks for a turn of each."""
        tickets = [self.enqueue(works=False) for _ in range(count)]
        self.work()
        return [ticket for ticket in tickets if ticket is not None]
