"""`rds-iam bench`: what it counts, and that it is gentle."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest
from cli_support import COMMAND, clients_url, shown
from patience import DEADLINE, Gate, eventually, running
from worlds import EVERY, on

from sqlalchemy_rds_iam._tools.connect_benchmark import MOST_FAILURES, BenchmarkResult, measure
from sqlalchemy_rds_iam.cli.progress import Progress
from sqlalchemy_rds_iam.testing import RdsEmulator

ONE_OF_EACH = tuple(key for key in EVERY if key != "psycopg-async")
"""A command line chooses a driver, and not its world."""


def _url(rds: RdsEmulator, driver: str = "psycopg") -> str:
    return rds.url(f"postgresql+{driver}").render_as_string()


@on(*ONE_OF_EACH)
def test_counts(rds: RdsEmulator, world: tuple[str, bool]) -> None:
    """It opens as many connections as it says, after a first one, and leaves none behind."""
    url = rds.url(world[0])
    found = shown("bench", url, "--connects", "10", "--rate", "100", "--json")
    assert found.code == 0, found.err
    assert bool(found.err) == (url.host == "127.0.0.2")  # which is no name of an endpoint
    data = json.loads(found.out)
    assert (data["connects"], data["refused"], data["throttled"]) == (10, 0, 0)
    assert len(rds.decisions) == 11
    assert 0 < data["p50_ms"] <= data["p99_ms"]
    assert (data["asked_per_second"], data["ceiling"]) == (100, 200)
    assert data["per_second"] == pytest.approx(10 / data["seconds"], rel=0.01)
    assert data["errors"] == []


def test_gentle(rds: RdsEmulator) -> None:
    """Connects begin at the rate that was asked for, not faster."""
    measure(rds.url(), connects=5, rate=5)
    times = [each.time for each in rds.decisions][1:]
    assert times[-1] - times[0] > 4 / 5 / 2


def test_beyond_the_ceiling(rds: RdsEmulator) -> None:
    """A rate beyond the ceiling is refused before anything is connected, unless allowed."""
    for arguments, limit in (
        (["--rate", "201"], 200),
        (["--rate", "31", "-o", "rds_iam_connect_rate=30"], 30),
        (["--rate", "201", "-o", "rds_iam_connect_rate=0"], 200),
    ):
        found = shown("bench", _url(rds), *arguments)
        assert found.code == 2
        assert f"more than rds_iam_connect_rate={limit}" in found.err
    assert not rds.decisions
    allowed = shown("bench", _url(rds), "--rate", "201", "--connects", "3", "--exceed-ceiling")
    assert allowed.code == 0
    assert "of 201 that the plugin lets begin" in allowed.out


@pytest.mark.timing
@on("psycopg", "pymysql")
def test_throttled(
    rds: RdsEmulator, world: tuple[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refusals after a login that was let in are counted, and after three nothing more is tried."""
    monkeypatch.setattr(rds.gateway, "ceiling", 4)
    found = shown("bench", rds.url(world[0]), "--connects", "300", "--rate", "60", "--json")
    assert found.code == 1
    data = json.loads(found.out)
    assert data["refused"] >= MOST_FAILURES
    assert len(data["errors"]) == data["refused"]
    assert data["connects"] + len(data["errors"]) < 300
    assert "likely throttling" in found.err


@on("psycopg", "pymysql", "asyncmy")
def test_first_refused(rds: RdsEmulator, world: tuple[str, bool]) -> None:
    """A login that is not let in at all ends it, with what the plugin has to say about that."""
    rds.gateway.refuse_next = 9
    found = shown("bench", rds.url(world[0]))
    assert (found.code, found.out) == (1, "")
    assert found.err.startswith("rds-iam bench: ")
    assert "the server refused the IAM token" in found.err
    assert "sqlalche.me" not in found.err
    assert len(rds.decisions) <= 2


def test_prose(rds: RdsEmulator) -> None:
    """Without --json it says the same in lines of text."""
    found = shown("bench", _url(rds), "--connects", "2", "--rate", "100")
    lines = dict(line.split(maxsplit=1) for line in found.out.splitlines())
    assert lines["endpoint"] == f"app@{rds.endpoint.host}:5432 ({rds.endpoint.region})"
    assert lines["let"].startswith("in      2 of 2, ")
    assert lines["refused"] == "0"
    assert {"let", "asked", "throttled", "first", "p50,"} < set(lines)


@on("psycopg", "asyncpg", "pymysql", "asyncmy")
def test_hanging(
    rds: RdsEmulator, world: tuple[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that does not answer holds it up for --timeout, and no longer."""
    admit = rds.gateway._admit

    async def held(client: Any) -> Any:
        await gate.wait()
        return await admit(client)

    monkeypatch.setattr(rds.gateway, "_admit", held)
    with Gate() as gate:
        found = shown("bench", rds.url(world[0]), "--timeout", "2")
        assert gate.reached.is_set()
    assert (found.code, found.out) == (1, "")
    assert "not connected within 2 s" in found.err
    for thread in threading.enumerate():
        if thread.name == "rds-iam-fetch":
            thread.join(DEADLINE)


@on("psycopg", "asyncpg", "pymysql", "asyncmy")
@pytest.mark.parametrize("json_", [[], ["--json"]])
def test_interrupted(rds: RdsEmulator, world: tuple[str, bool], json_: list[str]) -> None:
    """Ctrl-C ends it with what it has measured, says that it was cut short, and exits with 130."""
    url = rds.url(world[0]).render_as_string()
    command = [*COMMAND, "bench", url, "--connects", "1000", "--rate", "2", *json_]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        eventually(lambda: len(rds.decisions) >= 3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "rds-iam bench: cut short: " in err
    if json_:
        data = json.loads(out)
        assert (data["complete"], data["asked"]) == (False, 1000)
        assert 0 < data["connects"] <= len(rds.decisions)
    else:
        assert "of 1000, " in out
        assert "p50, p99" in out


def test_interrupted_at_once(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first connect has ended there is nothing to show, and that is said."""
    admit = rds.gateway._admit

    async def held(client: Any) -> Any:
        await gate.wait()
        return await admit(client)

    monkeypatch.setattr(rds.gateway, "_admit", held)
    with (
        Gate() as gate,
        running(
            [*COMMAND, "bench", _url(rds), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert gate.reached.wait(DEADLINE)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)
    data = json.loads(out)
    assert (process.returncode, data["complete"], data["first_ms"]) == (130, False, None)
    assert "the first connect has not ended yet" in err


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    """Outside of a terminal a line is written now and then, on standard error."""
    slow, fast = Progress(pause=1e6), Progress(pause=0)
    with slow.shown(), fast.shown():
        slow.show("not yet")
        fast.show("3 of 20")
        fast.show("4 of 20")
    shown_ = capsys.readouterr()
    assert shown_.out == ""
    assert [line.partition(": ")[2] for line in shown_.err.splitlines()] == ["3 of 20", "4 of 20"]


def test_progress_in_a_terminal(rds: RdsEmulator) -> None:
    """A terminal shows one line that changes, and is clean at the end; the output has none."""
    master, slave = pty.openpty()
    command = [*COMMAND, "bench", _url(rds), "--connects", "3", "--rate", "50"]
    with running(command, stdout=subprocess.PIPE, stderr=slave, text=True) as process:
        os.close(slave)
        out, _ = process.communicate(timeout=DEADLINE)
        told = os.read(master, 65536).decode()
        os.close(master)
    assert process.returncode == 0
    assert "the first connect has not ended yet" in told
    assert told.endswith("\r\x1b[K")
    assert "\n" not in told
    assert "\x1b" not in out


def test_missing_driver(rds: RdsEmulator) -> None:
    """A driver that is not installed, or not known, is named."""
    found = shown("bench", _url(rds, "psycopg9"))
    assert (found.code, found.out) == (2, "")
    assert "psycopg9; expected psycopg, " in found.err


@on("pymysql")
@pytest.mark.parametrize("backend", ["mysql", "mariadb"])
def test_no_driver_named(
    rds: RdsEmulator, world: Any, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a URL names no driver, and SQLAlchemy's choice is not installed, it is one of ours."""
    monkeypatch.setitem(sys.modules, "MySQLdb", None)
    found = shown("bench", clients_url(rds, backend), "--connects", "1")
    assert found.code == 0, found.err
    assert len(rds.decisions) == 2
    del world


def test_percentiles() -> None:
    """The nearest rank: of 100 times the 99th is p99; of none there is none."""
    result = BenchmarkResult(5, 200, times=[float(each) for each in range(100, 0, -1)])
    assert [result.percentile(share) for share in (0.01, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    assert BenchmarkResult(5, 200, times=[3.0]).percentile(0.99) == 3
    assert BenchmarkResult(5, 200).percentile(0.5) is None
    assert BenchmarkResult(5, 200).as_data()["p50_ms"] is None
