"""One process of a fleet, step by step: what it asks for, whom it lets go, and when."""

from __future__ import annotations

from typing import Any

import pytest
from fleet_model import FOREVER, Model
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam._ratelimit import redis_store
from sqlalchemy_rds_iam._ratelimit.limiter import CUT, HEADROOM, RateLimiter, Ticket
from sqlalchemy_rds_iam._ratelimit.redis_store import HORIZON, Storage
from sqlalchemy_rds_iam._ratelimit.shared_limiter import LATE, LOST, SLICE, SharedRateLimiter

NOW = 100.0
TURN = HEADROOM / 200


@pytest.fixture(autouse=True)
def _calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outages are not to be read about."""
    monkeypatch.setattr(redis_store.logger, "disabled", True)


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


def test_never_without_a_look_at_the_work() -> None:
    """A turn is never to be had without asking what there is to do."""
    process = Process()
    assert not process.limiter.try_acquire(NOW)
    process.work()
    assert not process.limiter.try_acquire(NOW + 1)


def test_alone_and_seldom() -> None:
    """A connect now and then costs one request, for one turn, and no wait but for that."""
    process = Process()
    for _ in range(10):
        assert process.connect() < 0.01
        process.now += 1.0
    assert process.asked == [1] * 10


def test_each_waits_for_a_turn_of_its_own() -> None:
    """Those who wait are told their own turn, one after the other, evenly from the first."""
    process = Process()
    tickets = process.filled()
    assert process.asked == [8]
    process.now += 0.0001
    first = process.poll(tickets[0])
    assert first is None
    waits = [ticket.wait for each in tickets[1:] if (ticket := process.poll(each))]
    assert waits == pytest.approx([number * TURN - 0.0001 for number in range(1, 8)], abs=1e-5)
    for each in tickets[1:]:
        process.now = NOW + each.number * TURN - TURN + 1e-5
        assert process.poll(each) is None
    assert process.limiter.waiting == 0


def test_those_who_have_no_turn_yet() -> None:
    """They are to ask again when their turn will be, if the fleet has no more to do than now."""
    process = Process()
    tickets = process.filled(30)
    assert process.asked == [9]
    process.now += 1e-4
    found = [process.limiter.poll(each, process.now, FOREVER) for each in tickets[9:]]
    waits = [ticket.wait for ticket in found if ticket]
    assert waits == pytest.approx([number * TURN - 1e-4 for number in range(9, 30)], abs=1e-5)


def test_those_who_wait_in_a_busy_fleet() -> None:
    """Turns are asked for as many as wait, also if others wait."""
    process = Process()
    process.others_take(5 * TURN)
    tickets = process.filled(30)
    process.now += 4 * TURN
    for each in tickets[:5]:
        process.now += TURN
        assert process.limiter.poll(each, process.now, FOREVER) is None
    process.work()
    assert process.asked == [9, 9]


def test_in_a_row() -> None:
    """Connects that come one after the other find turns that were reserved ahead."""
    process = Process()
    took = [process.connect() for _ in range(100)]
    assert sum(took) == pytest.approx(99 * TURN, rel=0.05)
    assert len(process.asked) < 30
    most = int(SLICE * 200 / HEADROOM)
    assert max(process.asked) == most
    # They are asked for before the last ones are used up, and not by a process that is idle.
    assert min(process.left[5:]) == most // 2
    process.now += 1.0
    assert not process.work()


def test_how_soon_there_are_enough() -> None:
    """A process that begins to connect in a row asks for twice as many turns each time."""
    process = Process(1000)
    for _ in range(200):
        process.connect()
    assert process.asked[:7] == [1, 2, 4, 8, 16, 32, int(SLICE * 1000 / HEADROOM)]


def test_no_more_than_a_slice() -> None:
    """However many wait, a slice is reserved at a time; after slow answers a larger one."""
    process = Process()
    process.filled(100)
    assert process.asked == [int(SLICE * 200 / HEADROOM)]
    process = Process(trip=0.1)
    process.filled(100)
    process.now += LATE + 1
    process.filled(100)
    assert process.asked == [int(SLICE * 200 / HEADROOM), int(0.2 * 200 / HEADROOM)]


def test_the_next_slice_is_fetched_when_half_is_used() -> None:
    """Not before, as long as no more than those wait for whom there are turns."""
    process = Process()
    tickets = process.filled(8)
    for each in tickets[:3]:
        process.now += TURN
        assert process.poll(each) is None
        assert len(process.asked) == 1
    process.now += TURN
    for _ in range(3):
        process.enqueue()
    assert len(process.asked) == 1
    assert process.poll(tickets[3]) is None
    assert len(process.asked) == 2


def test_what_is_said_of_a_lost_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Why the server is not used is in the log: how long there was no answer."""
    monkeypatch.setattr(redis_store.logger, "disabled", False)
    process = Process()
    process.enqueue(works=False)
    process.limiter.background_work(NOW)
    process.limiter.background_work(NOW + LOST)
    assert f"cannot be used: no answer within {LOST:g} s;" in caplog.text


@pytest.mark.parametrize("late", [0.0, 0.001, 5.0])
def test_one_request_at_a_time(late: float) -> None:
    """While one is under way there is nothing to do; after a while it is given up for lost."""
    process = Process()
    process.enqueue(works=False)
    lost = process.limiter.background_work(NOW)
    assert lost is not None
    assert process.limiter.background_work(NOW + LOST - 0.001) is None
    assert not process.storage.down
    assert process.limiter.background_work(NOW + LOST + late) is None
    assert process.storage.down
    # It comes back after all, and is of no account.
    lost()
    assert process.storage.down
    assert not process.limiter._reservations


def test_an_outage() -> None:
    """While the server fails the rate is this process's own, and one turn is asked for in a while.

    What was reserved before is not used: the server may not know of it any more.
    """
    process = Process()
    tickets: list[Any] = process.filled(8)
    for each in tickets[:4]:
        process.now += TURN
        assert process.limiter.poll(each, process.now, FOREVER) is None
    assert len(process.limiter._reservations) == 4
    process.broken = True
    process.enqueue()
    assert process.storage.down
    assert not process.limiter._reservations
    for _ in range(5):
        process.limiter.cancel()
    alone, asked = RateLimiter(200), len(process.asked)
    alone._lull = 0.0
    process.now += 1.0
    tickets = [process.enqueue() for _ in range(30)]
    waits = [ticket.wait if ticket else 0.0 for ticket in tickets]
    expected = [alone.enqueue(process.now, FOREVER) for _ in range(30)]
    assert waits == pytest.approx([ticket.wait if ticket else 0.0 for ticket in expected])
    assert len(process.asked) == asked
    process.broken = False
    process.now += 10
    process.enqueue()
    assert process.asked[asked:] == [1]
    assert not process.storage.down


@pytest.mark.parametrize("down", [True, False])
def test_those_who_never_come_back(down: bool) -> None:
    """Alone, a process gives them up after a pause; in a fleet that says nothing, as it is busy."""
    process = Process()
    process.broken = down
    process.enqueue()
    for _ in range(15):
        last = process.limiter.enqueue(process.now, FOREVER)
    assert last is not None
    process.now += 4.1 * TURN
    assert (process.limiter.poll(last, process.now, FOREVER) is None) == down


def test_a_fork() -> None:
    """A forked child has no turns of its parent, and no request that its parent waits for."""
    process = Process()
    process.filled(8)
    process.enqueue(works=False)
    process.limiter._request = process.limiter._request or object()  # type: ignore[assignment]
    process.limiter.after_fork()
    assert process.limiter.waiting == 0
    assert not process.limiter._reservations
    ticket = process.enqueue()
    assert ticket is not None
    assert ticket.wait == pytest.approx(0.001)
    assert len(process.asked) == 2


def test_turned_away() -> None:
    """Where all turns of the next second are taken, it is asked again when there are some."""
    process = Process()
    process.others_take(HORIZON + 0.7)
    ticket = process.enqueue()
    assert ticket is not None
    process.now += 0.001
    ticket = process.poll(ticket)
    assert process.asked == [1]
    assert ticket is not None
    assert process.now + ticket.wait >= NOW + 0.7 - 0.002
    asked_at = []
    while len(process.asked) < 2 and process.now < NOW + 5:
        asked_at.append(process.now)
        process.now += 0.01
        process.work()
    assert NOW + 0.69 <= asked_at[-1] <= NOW + HORIZON + 0.71
    assert process.limiter._reservations


def test_those_who_were_turned_away_come_back_one_by_one() -> None:
    """When they ask again is spread over a second."""
    times = []
    for _ in range(100):
        process = Process()
        process.others_take(HORIZON + 0.7)
        process.enqueue()
        times.append(process.limiter._ask_at - NOW)
    assert 0.69 <= min(times) < 0.8
    assert 1.6 < max(times) <= 0.71 + HORIZON


def test_a_busy_fleet() -> None:
    """Where others wait, too, no turn is asked for that may stay unused."""
    process = Process()
    for _ in range(30):
        process.others_take(5 * TURN)
        process.connect()
    assert set(process.asked) == {1}
    process.filled(4)
    assert process.asked[-1] == 4


@pytest.mark.parametrize("row", [0, 20])
def test_a_turn_that_is_not_used(row: int) -> None:
    """It is lost after a moment, and its connect neither holds up others nor loses its place.

    Turns that were reserved ahead, and for which no connect came, are of no account.
    """
    process = Process()
    for _ in range(row):
        process.connect()
    process.now += 1.0
    tickets = process.filled(4)
    process.now += LATE + 1.5 * TURN  # which is too late for the first two
    for each in tickets[2:]:
        assert process.limiter.poll(each, process.now, FOREVER) is None
    assert process.limiter.waiting == 0
    for each in 3 * tickets[:2]:
        assert process.limiter.poll(each, process.now, FOREVER) is not None
    assert process.limiter.waiting == 2
    for each in tickets[:2]:
        ticket: Ticket | None = each
        process.work()
        while ticket is not None and process.now < NOW + 3:
            process.now += 0.001
            ticket = process.poll(ticket)
    assert process.limiter.waiting == 0
    process.now += 1.0
    assert process.connect() < 0.01


@given(st.integers(0, 5), st.booleans())
def test_a_turn_is_kept_for_a_moment(late: int, lost: bool) -> None:
    """One that comes a little late finds its turn, and one that is later waits for another."""
    process = Process()
    tickets = process.filled(6)
    due = NOW + late * TURN
    process.now = due + LATE + (0.001 if lost else -0.001)
    assert (process.poll(tickets[late]) is None) != (lost and late == 5)


def test_the_last_moment_of_a_turn() -> None:
    """At the end of its time it can still be had."""
    process = Process()
    [ticket] = process.filled(1)
    process.now = process.limiter._reservations[0].until
    assert process.poll(ticket) is None


@pytest.mark.parametrize("rate", [1, 20, 40])
def test_a_low_rate(rate: int) -> None:
    """Where a slice is less than two turns, one is asked for at a time."""
    process = Process(rate)
    process.filled(5)
    assert process.asked == [1]


def test_a_cut_is_of_the_rate() -> None:
    """What this process had of the ceiling is no measure: a cut takes a tenth of the rate."""
    process = Process()
    process.limiter.accepted(NOW)
    assert process.limiter.throttled(NOW)
    assert process.limiter.current_rate == pytest.approx(CUT * 200)
    process.filled(2)
    process.now += 1e-5
    tickets = process.filled(1)
    assert tickets
    assert process.limiter._reservations[1].due - process.limiter._reservations[0].due == (
        pytest.approx(TURN / CUT, abs=1e-5)
    )


def test_how_often_to_ask_for_a_turn() -> None:
    """A connect that has no turn yet asks again soon, the less often the longer answers take."""
    process = Process()
    process.enqueue(works=False)
    work = process.limiter.background_work(process.now)
    assert work is not None
    waits = []
    for _ in range(20):
        process.now += 0.002
        ticket = process.limiter.poll(Ticket(1, 0.0), process.now, FOREVER)
        assert ticket is not None
        waits.append(ticket.wait)
    assert waits[0] == pytest.approx(max(0.001, 0.002))
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(LATE / 4)
