"""What `make programs` lets pass, and what it does not: jobs run by this Python, not installed."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from programs import emulated, environments, execution, metadata
from programs.execution import Execution, JobFailed
from programs.turns import Turn

JOB = '''# /// script
# requires-python = ">=3.11"
# dependencies = ["SQLAlchemy"]
# [tool.program]
# title = "Notes"
# url = "https://example.com"
# group = "Data"
# packages = ["SQLAlchemy"]
# drivers = ["postgresql+psycopg"]
# write = "the URL"
# databases = ["app", "notes"]
# minutes = {minutes}
# ///
"""It looks."""
import time
from contextlib import contextmanager
from job import report, run, url
from sqlalchemy import create_engine, text

FIRST = iter((True, False))
ENGINE, WITHOUT_PING, ELSEWHERE = (
    create_engine(url(database="notes", **query), pool_pre_ping=ping)
    for query, ping in (({{}}, True), ({{}}, False), ({{"rds_iam_port": "5433"}}, True))
)

def look(engine=ENGINE):
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT current_database()")) == "notes"

def look_without_ping():
    look(WITHOUT_PING)

def look_elsewhere():
    look(ELSEWHERE)

def hidden(call):
    try:
        call()
    except Exception as error:
        print("hidden", error)

@contextmanager
def program():
    report(seen=True)
    yield work

def work():
    first = next(FIRST)
{work}

run(program)
'''


def run(directory: Path, work: str, patch: pytest.MonkeyPatch, minutes: float = 5.0) -> Any:
    """Run a job, whose keys live two seconds."""
    patch.setattr(emulated, "LIFE", 2.0)
    patch.setattr(environments, "STATE", directory / "state")
    patch.setattr(execution, "STATE", directory / "state")
    patch.setattr(metadata, "JOBS", directory)
    path = directory / "notes.py"
    path.write_text(JOB.format(work=f"    {work}", minutes=minutes))
    turn, told = Turn(), []
    each = Execution(
        metadata.load(path), Path(), turn, threading.Lock(), threading.Event(), told.append
    )
    try:
        return each._run(Path(sys.executable))
    finally:
        turn.leave("notes")
        assert "works" in told
        each._tidy()


@pytest.mark.server
def test_a_good_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It logs in before the rollover, and with later keys after it."""
    found = run(tmp_path, "look()", monkeypatch)
    assert found["logins"] == {"before": 1, "after": 1}
    assert found["facts"] == {"seen": True}


@pytest.mark.server
@pytest.mark.parametrize(
    ("work", "said"),
    [
        ("if first: look()", "no login after the rollover with keys of after it"),
        ("look(); hidden(look_elsewhere)", "was refused: signed for port .5433"),
        ("look_without_ping()", "OperationalError: .*terminating connection"),
    ],
    ids=["nothing after the rollover", "a refusal", "a dead connection"],
)
def test_a_bad_job(work: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hides a fault, or has one, fails with what it was."""
    with pytest.raises(JobFailed, match=said):
        run(tmp_path, work, monkeypatch)


@pytest.mark.server
def test_a_late_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not end is ended at its deadline."""
    with pytest.raises(JobFailed, match=r"no end after 0\.0[0-9]+ minutes"):
        run(tmp_path, "time.sleep(3600)", monkeypatch, minutes=0.05)
