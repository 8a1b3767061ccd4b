"""Processes that stand still for longer than their token lives, and clocks that jump."""

from __future__ import annotations

import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from faults_support import Provider
from patience import DEADLINE
from soak.servers import environ
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam.testing import RdsEmulator

WAYS = [
    "sync",
    "botocore",
    pytest.param("aiobotocore", marks=pytest.mark.aiobotocore),
]


class Obedient:
    """A process that connects when told to."""

    def __init__(self, rds: RdsEmulator, way: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "soak.obedient", way],
            env=environ(rds),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def connect(self) -> str:
        """How one connect went: ``ok``, or an error."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("\n")
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            assert selector.select(DEADLINE), "no answer"
        return self._process.stdout.readline().strip()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        with self._process:
            pass


@pytest.fixture
def obedient() -> Iterator[Callable[[RdsEmulator, str], Obedient]]:
    """Start processes that are ended after the test."""
    started: list[Obedient] = []

    def start(rds: RdsEmulator, way: str) -> Obedient:
        started.append(Obedient(rds, way))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.mark.timing
@pytest.mark.parametrize("way", WAYS)
def test_frozen_for_longer_than_its_credentials_live(
    rds: RdsEmulator,
    container: Provider,
    obedient: Callable[[RdsEmulator, str], Obedient],
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    """After SIGSTOP, the end of the credentials and SIGCONT the first connect has a new token."""
    monkeypatch.setattr(container.service, "lifetime", 4.0)
    process = obedient(rds, way)
    assert process.connect() == "ok"
    [first] = rds.decisions
    key = rds.identities.find(str(first.access_key))
    assert key
    assert key.expires_at
    process.send(signal.SIGSTOP)
    while time.time() < key.expires_at:
        time.sleep(0.05)
    process.send(signal.SIGCONT)
    assert process.connect() == "ok"
    _, second = rds.decisions
    assert second.granted
    assert second.access_key != first.access_key


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_database_clock_jumps(
    rds: RdsEmulator,
    container: Provider,
    open_database: Callable[..., Database],
    monkeypatch: pytest.MonkeyPatch,
    step: float,
) -> None:
    """A jump costs each connect two logins and AWS one fetch; after it nothing is refused."""
    # Beyond what botocore renews as soon as it has it.
    monkeypatch.setattr(container.service, "lifetime", 3600.0)
    database = open_database(poolclass=NullPool)
    assert database.scalar("select 1") == 1
    age(database.inside.cache)
    rds.clear()
    calls = container.calls
    rds.clock_offset = step
    for _ in range(4):
        database.raises(Exception)
    assert len(rds.decisions) <= 2 * 4
    assert container.calls - calls <= 1
    rds.clock_offset = 0.0
    rds.clear()
    assert database.scalar("select 1") == 1
    assert [decision.granted for decision in rds.decisions] == [True]


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_own_clock_jumps(
    rds: RdsEmulator, open_database: Callable[..., Database], step: float
) -> None:
    """Tokens that were signed by a wrong clock are not used once it is right again."""
    database = open_database(poolclass=NullPool)
    now = time.time
    database.inside.set_clock(lambda: now() + step)
    database.raises(Exception)
    # As wrong as ours, so that a token of the wrong time is accepted, and kept.
    rds.clock_offset = step
    rds.clear()
    assert database.scalar("select 1") == 1
    database.inside.set_clock(now)
    rds.clock_offset = 0.0
    assert database.scalar("select 1") == 1
    assert [decision.granted for decision in rds.decisions] == [True, True]


def age(tokens: Any) -> None:
    """Let the credentials in hand be old enough to be asked for anew."""
    tokens._cached.fetched_at -= 100.0
