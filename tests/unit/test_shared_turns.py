"""One process of a fleet, step by step: what it asks for, whom it lets go, and when."""

from __future__ import annotations

import pytest
from fleet_model import FOREVER
from process_model import NOW, TURN, Process

from sqlalchemy_rds_iam._ratelimit.limiter import CUT, HEADROOM, Ticket
from sqlalchemy_rds_iam._ratelimit.redis_store import HORIZON
from sqlalchemy_rds_iam._ratelimit.shared_limiter import LATE, SLICE


def test_never_without_a_look_at_the_work() -> None:
    """A turn never comes without asking what there is to do."""
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
