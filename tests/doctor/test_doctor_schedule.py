"""The examination ends in time whatever hangs: by its deadlines, on a clock of the test's own."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator

import pytest
from doctor_catalogue import FAULTS
from doctor_support import Ward
from hypothesis import given
from hypothesis import strategies as st
from patience import DEADLINE

from sqlalchemy_rds_iam.doctor import Finding, Status, examination, examine, refused_token
from sqlalchemy_rds_iam.doctor.checks import CHECKS
from sqlalchemy_rds_iam.doctor.findings import ok
from sqlalchemy_rds_iam.doctor.schedule import ASIDE, SERVER, SHARES, TOTAL, Schedule
from sqlalchemy_rds_iam.doctor.state import State

NAMES = [check.name for check in CHECKS]
PAUSE = refused_token.PAUSE
MOST_WITHOUT_A_HANG = 5.0
"""Seconds that an examination takes where nothing hangs."""


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_every_check_has_a_share() -> None:
    """Each has one, none takes all of it but the last, and those that run beside are in a row."""
    assert [*SHARES] == NAMES
    assert all(0 < share < 1 for name, share in SHARES.items() if name != NAMES[-1])
    first = NAMES.index(SERVER[0])
    assert tuple(NAMES[first : first + len(SERVER)]) == SERVER
    assert NAMES[first + len(SERVER)] == ASIDE


@given(
    st.floats(0.1, 100.0),
    st.lists(st.floats(0.0, 1.0), min_size=len(SHARES), max_size=len(SHARES)),
)
def test_the_total_holds(total: float, taken: list[float]) -> None:
    """However much of its time each check takes, all of them end within the total."""
    clock = Clock()
    began, timed = clock.now, Schedule(total, clock)
    parts = dict(zip(NAMES, taken, strict=True))
    beside = 0.0
    for name in NAMES:
        if name == SERVER[0]:
            beside = clock.now + timed.begin(ASIDE) * parts[ASIDE]
        if name == ASIDE:
            clock.now = max(clock.now, beside)
            continue
        seconds = timed.begin(name)
        assert 0 <= seconds <= total * (1 + 1e-9)
        clock.now += seconds * parts[name]
        assert timed.left(name) <= seconds
    assert clock.now - began <= total * (1 + 1e-9)


def test_unused_time_goes_on() -> None:
    """Where nothing before it took time, a check has all of its share."""
    clock = Clock()
    timed = Schedule(TOTAL, clock)
    assert {name: timed.begin(name) for name in NAMES} == pytest.approx(
        {name: share * TOTAL for name, share in SHARES.items()}
    )
    clock.now += 100.0
    assert timed.left("Login") == timed.begin("Login") == 0.0


def test_everything_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that hangs is a finding, and the next one begins; all end with the total."""
    gate = threading.Event()

    def hang(_: State) -> Iterator[Finding]:
        gate.wait(DEADLINE)
        yield ok("it went on")

    stuck = tuple(
        dataclasses.replace(check, examine=hang, ready=lambda _: True) for check in CHECKS
    )
    monkeypatch.setattr(examination, "CHECKS", stuck)
    begun: list[float] = []

    class Watched(Schedule):
        def begin(self, check: str) -> float:
            begun.append(super().begin(check))
            return begun[-1]

    monkeypatch.setattr(examination, "Schedule", Watched)
    try:
        report = examine("postgresql+psycopg://app@h/app?plugin=rds_iam", timeout=0.5)
    finally:
        gate.set()
    assert [outcome.check for outcome in report.outcomes] == NAMES
    late = {outcome.check: outcome.findings[0].status for outcome in report.outcomes}
    assert set(late.values()) == {Status.PROBLEM}
    assert len(begun) == len(NAMES)
    assert max(begun) <= 0.5


def test_credentials_are_fetched_beside_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two do not wait for each other: here each can only end while the other runs."""
    barrier = threading.Barrier(2)

    def meet(_: State) -> Iterator[Finding]:
        barrier.wait(DEADLINE)
        yield ok("both run")

    met = {SERVER[0], ASIDE}
    checks = tuple(
        dataclasses.replace(
            check,
            examine=meet if check.name in met else check.examine,
            ready=(lambda _: True) if check.name in met else (lambda _: False),
        )
        for check in CHECKS
    )
    monkeypatch.setattr(examination, "CHECKS", checks)
    report = examine("postgresql+psycopg://app@h/app?plugin=rds_iam", timeout=DEADLINE)
    told = {outcome.check: outcome.findings[0].summary for outcome in report.outcomes}
    assert {name for name, words in told.items() if words == "both run"} == met


@pytest.mark.parametrize("name", ["policy for another user", "throttled after the first login"])
def test_one_pause(name: str, ward: Ward) -> None:
    """What the doctor waits of its own accord, it waits in one place, and less than 5 s."""
    pauses: list[float] = []
    FAULTS[name].inject(ward)
    ward.patch.setattr(refused_token, "PAUSE", PAUSE)
    ward.patch.setattr("time.sleep", pauses.append)
    ward.examine()
    assert max(pauses) == PAUSE
    assert sum(pauses) < 2 * PAUSE < MOST_WITHOUT_A_HANG


def test_the_pause_fits(ward: Ward) -> None:
    """Where little time is left, the pause is a part of it."""
    pauses: list[float] = []
    FAULTS["policy for another user"].inject(ward)
    ward.patch.setattr(refused_token, "PAUSE", 1000.0)
    ward.patch.setattr("time.sleep", pauses.append)
    ward.examine()
    assert max(pauses) <= ward.timeout / 2
