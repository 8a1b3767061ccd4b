"""Remembering where CNAME records have led, while DNS changes, fails and comes back."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from patience import DEADLINE, SOON, eventually

from sqlalchemy_rds_iam import RdsIamError, WaitTimeout
from sqlalchemy_rds_iam._endpoints.cname import PATIENCE, CnameResolver, Record

pytest.importorskip("dns", reason="dnspython is not installed")

from dns_support import DnsServer, dns_server
from soak.children import Child

ALIAS = "db.example.com"
BLUE = "blue.abc123.eu-central-1.rds.amazonaws.com"
GREEN = "green.abc123.eu-central-1.rds.amazonaws.com"


class World:
    """Names, the server that they ask, and the time they are told."""

    def __init__(self, server: DnsServer) -> None:
        self.server = server
        self.now = 1000.0
        self.names = CnameResolver(lambda: self.now)

    def look_up(self, timeout: float = 5.0, failure_ttl: float = 1.0) -> str:
        """What a connect does."""
        known = self.names.known(ALIAS)
        return known or self.names.look_up(ALIAS, timeout, failure_ttl)

    @property
    def asked(self) -> int:
        """How many questions have been asked."""
        return len(self.server.questions)

    def wait_until_asked(self, number: int) -> None:
        """Wait for so many questions to have been asked."""
        eventually(lambda: self.asked >= number)


@pytest.fixture
def world() -> Iterator[World]:
    """Names that ask a real server, for which the alias stands for the blue endpoint."""
    with dns_server() as server:
        server.point(ALIAS, BLUE)
        yield World(server)


@pytest.mark.parametrize(
    ("ttls", "memory"), [((0, 60), 5), ((3600, 60), 60), ((60, 3600), 60), ((86400, 900), 300)]
)
def test_memory(world: World, ttls: tuple[int, int], memory: float) -> None:
    """A result is used for the smallest TTL on the way, at least 5 s and at most 300 s."""
    server = world.server
    server.point(ALIAS, "a.example.com", ttl=ttls[0])
    server.point("a.example.com", BLUE, ttl=ttls[1])
    assert world.look_up() == BLUE
    server.point("a.example.com", GREEN, ttl=ttls[1])
    world.now += memory - 0.01
    assert world.look_up() == BLUE
    assert world.asked == 2
    world.now += 0.01
    assert world.look_up() == GREEN
    assert world.asked == 4


def test_clock_set_back(world: World) -> None:
    """A result from the future is looked up again."""
    world.look_up()
    world.server.point(ALIAS, GREEN)
    world.now -= 3600
    assert world.look_up() == GREEN


def test_failures_are_remembered(world: World) -> None:
    """A failure stands for failure_ttl; each caller gets an error of its own, of the same type."""
    world.server.fault = "silence"
    errors = []
    for _ in range(3):
        with pytest.raises(WaitTimeout, match=ALIAS) as caught:
            world.look_up(timeout=0.02, failure_ttl=2.0)
        errors.append(caught.value)
    assert len({id(error) for error in errors}) == 3
    # On a busy machine the first question leaves when nothing waits for its answer any more.
    world.wait_until_asked(1)
    assert world.asked == 1
    world.server.fault = None
    world.now += 2
    assert world.look_up() == BLUE


@pytest.mark.parametrize("fault", ["servfail", "silence"])
def test_outage_keeps_an_older_result(
    world: World, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """While DNS is out, what it said last stays good; one warning; then its word counts again."""
    caplog.set_level(logging.WARNING, "sqlalchemy_rds_iam")
    world.look_up()
    world.server.fault = fault
    world.server.point(ALIAS, GREEN)
    for _ in range(3):
        world.now += 100
        assert world.look_up(timeout=0.02) == BLUE
    # Of this name alone: a thread that another test has left may have something to say, too.
    [ours] = [record for record in caplog.records if ALIAS in record.getMessage()]
    assert ours.levelname == "WARNING"
    assert BLUE in ours.getMessage()
    world.server.fault = None
    assert world.look_up() == BLUE  # the failure is remembered
    world.now += 1
    assert world.look_up() == GREEN


def test_patience(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an older result at hand, a silent DNS does not cost a connect its whole deadline."""
    world.look_up()
    monkeypatch.setattr("sqlalchemy_rds_iam._endpoints.cname.PATIENCE", 0.02)
    world.server.fault = "silence"
    world.now += 100
    began = time.monotonic()
    assert world.look_up(timeout=30) == BLUE
    assert time.monotonic() - began < SOON


def test_how_long_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the time without an older result; with one half of it, and no more than PATIENCE."""
    asked: list[float] = []

    def ask(_name: str, seconds: float) -> Record:
        asked.append(seconds)
        return Record(BLUE, 60)

    names = CnameResolver(ask=ask)
    names.look_up(ALIAS, 1e6, 1)
    names.look_up(ALIAS, 1e6, 1)
    monkeypatch.setattr("sqlalchemy_rds_iam._endpoints.cname.PATIENCE", 1e9)
    names.look_up(ALIAS, 1e6, 1)
    assert asked[0] > 0.9e6
    assert asked[1] <= PATIENCE
    assert 0.4e6 < asked[2] <= 0.5e6


def test_what_it_stands_for_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """At INFO, when it is found out, and again only when it has changed."""
    caplog.set_level(logging.INFO, "sqlalchemy_rds_iam")
    said = []
    for target in (BLUE, BLUE, GREEN):
        world.server.point(ALIAS, target)
        world.look_up()
        world.now += 100
        said.append([each.getMessage() for each in caplog.records if ALIAS in each.getMessage()])
    first, second = f"{ALIAS} stands for {BLUE}", f"{ALIAS} stands for {GREEN}"
    assert said == [[first], [first], [first, second]]


def test_an_answer_is_no_outage(world: World) -> None:
    """When DNS says that the alias is gone, or leads elsewhere, the older result is gone, too."""
    world.look_up()
    world.server.remove(ALIAS)
    world.now += 60
    with pytest.raises(RdsIamError, match="NXDOMAIN"):
        world.look_up()
    world.server.point(ALIAS, "db.example.net")
    world.now += 1
    with pytest.raises(RdsIamError, match=r"db\.example\.net"):
        world.look_up()


def test_a_late_failure_does_not_undo_an_answer() -> None:
    """Of two first look-ups at once, the one that fails goes on with the other's result."""

    def ask(_name: str, _seconds: float) -> Record:
        if names.known(ALIAS) is None and next(turns) == 0:
            names.look_up(ALIAS, 5, 1)
            raise WaitTimeout("no answer")
        return Record(BLUE, 60)

    turns = itertools.count()
    names = CnameResolver(ask=ask)
    assert names.look_up(ALIAS, 5, 1) == BLUE


def test_one_asks_again(world: World) -> None:
    """While one asks again the others go on with the older result; if it is lost, another asks."""
    world.look_up()
    world.server.point(ALIAS, GREEN)
    world.now += 60
    world.server.gate.clear()
    with ThreadPoolExecutor(1) as thread:
        leader = thread.submit(world.look_up)
        world.wait_until_asked(2)
        assert [world.look_up() for _ in range(3)] == [BLUE] * 3
        world.now += PATIENCE
        assert world.names.known(ALIAS) is None
        world.server.gate.set()
        assert leader.result(DEADLINE) == GREEN
    assert world.names.known(ALIAS) == GREEN
    assert world.asked == 2


def test_doubt(world: World) -> None:
    """After a failed connect a switched alias is noticed in 5 s, however large its TTL."""
    world.names.doubt(ALIAS)
    world.look_up()
    world.server.point(ALIAS, GREEN)
    world.names.doubt(ALIAS)
    world.now += 4.9
    assert world.look_up() == BLUE
    world.now += 0.1
    assert world.look_up() == GREEN


def test_threads() -> None:
    """Threads that look up, expire and fail at the same time only ever see what DNS has said."""
    ticks = itertools.count(1)

    def ask(_name: str, _seconds: float) -> Record:
        tick = next(ticks)
        if tick % 3 == 0:
            raise WaitTimeout("no answer")
        return Record(BLUE if tick % 2 else GREEN, 0)

    names = CnameResolver(lambda: float(next(ticks)), ask)
    names.look_up(ALIAS, 5, 1)

    def connect(_: int) -> str:
        names.doubt(ALIAS)
        return names.known(ALIAS) or names.look_up(ALIAS, 5, 1)

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(connect, range(2000))) == {BLUE, GREEN}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_fork(world: World) -> None:
    """A child forked while a look-up is under way knows what was known, and looks up by itself."""
    world.look_up()
    world.server.point(ALIAS, GREEN)
    world.now += 60
    world.server.gate.clear()
    thread = threading.Thread(target=world.look_up)
    thread.start()
    world.wait_until_asked(2)

    def connect() -> list[str]:
        before = world.look_up()
        world.now += PATIENCE
        return [before, world.look_up()]

    child = Child(connect)
    world.server.gate.set()
    thread.join(DEADLINE)
    assert child.result() == [BLUE, GREEN]
