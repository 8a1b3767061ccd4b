"""One prober for all: the search for a server against a model, on a clock that is handed in."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sqlalchemy_rds_iam._failover.server_search import INTERVAL, LEASE, ServerSearch

SHORTEST = 0.75 * INTERVAL
CONNECTS = st.integers(0, 5)


class Search(RuleBasedStateMachine):
    """Six connects that look for a server, wait, probe, give up, get lost and find it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.search = ServerSearch()
        self.waiting: dict[int, int] = {}
        """How often the server had been found when each of them began to wait."""
        self.prober: int | None = None
        self.probes_until = 0.0
        self.earliest = 0.0
        """When the next attempt may begin."""

    @rule(seconds=st.floats(0.0, 2 * LEASE))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= self.probes_until:
            self.prober = None

    @rule(connect=CONNECTS)
    def fails(self, connect: int) -> None:
        """An attempt has failed: the prober's, or one that was begun before the search."""
        was_looked_for = self.search.began_at is not None
        self.search.release(connect, self.now)
        assert self.search.begin(self.now) is not was_looked_for
        if not was_looked_for or self.prober == connect:
            self.prober, self.earliest = None, self.now + SHORTEST
        self.waiting[connect] = self.search.found

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def asks(self, data: st.DataObject) -> None:
        """One of those that wait may go, if nothing else is to be waited for."""
        connect = data.draw(st.sampled_from(sorted(self.waiting)))
        found = self.waiting[connect]
        goes = self.search.may_go(connect, found, self.now)
        if self.search.began_at is None or found != self.search.found:
            assert goes
            del self.waiting[connect]
        elif goes:
            assert self.prober is None
            assert self.now >= self.earliest
            self.prober, self.probes_until = connect, self.now + LEASE

    @precondition(lambda self: self.prober is not None)
    @rule()
    def the_prober_gives_up(self) -> None:
        assert self.prober is not None
        self.search.release(self.prober, self.now, gives_up=True)
        self.waiting.pop(self.prober, None)
        self.prober, self.earliest = None, 0.0
        # Another one that waits goes at once.
        for connect, found in self.waiting.items():
            assert self.search.may_go(connect, found, self.now)
            self.prober, self.probes_until = connect, self.now + LEASE
            break

    @rule()
    def finds(self) -> None:
        """Any connect has found it, and all that wait go."""
        began = self.search.began_at
        lasted = self.search.end(self.now)
        assert lasted == (None if began is None else self.now - began)
        for connect, found in self.waiting.items():
            assert self.search.may_go(connect, found, self.now)
        self.waiting.clear()
        self.prober = None

    @rule()
    def forks(self) -> None:
        """In the child there is no prober, and it goes on looking."""
        self.search.after_fork()
        self.prober, self.earliest = None, 0.0

    @invariant()
    def a_lost_prober_is_replaced(self) -> None:
        """Whatever has become of it, one that waits goes when the lease is over."""
        if self.search.began_at is not None and self.waiting:
            later = self.now + max(LEASE, 1.25 * INTERVAL)
            kept = self.search._prober, self.search._next_at
            connect, found = next(iter(self.waiting.items()))
            assert self.search.may_go(connect, found, later)
            self.search._prober, self.search._next_at = kept


TestSearch = Search.TestCase
