"""`rds-iam demo`: that it shows what it says, and that it can fail."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from patience import DEADLINE

from sqlalchemy_rds_iam.cli import demo_flow, demo_steps

pytestmark = pytest.mark.server


def _silent(_words: str) -> None:
    """Discard the progress, which no test here reads."""


@pytest.fixture
def scene() -> Iterator[Any]:
    """The demo with its emulator started, and its steps at hand one by one."""
    with ExitStack() as cleanup:
        scene = demo_steps._Demo(cleanup)
        scene.start(_silent)
        yield scene


@pytest.mark.timing
def test_whole_run() -> None:
    """All steps pass, and the rollover uses three generations of credentials and loses nothing."""
    command = "from sqlalchemy_rds_iam.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", command, "demo", "--json"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    steps = {step["title"]: step for step in shown["steps"]}
    assert shown["passed"]
    assert all(step["passed"] for step in steps.values())
    assert list(steps) == [
        "Emulator",
        "Sync engine",
        "Async engine",
        "Forged token",
        "Expired token",
        "No TLS",
        "Rollover",
    ]
    facts = steps["Rollover"]["facts"]
    assert facts["generations"] >= 3
    assert facts["lost"] == 0
    assert min(facts["sync"], facts["async"]) > 10
    assert "X-Amz-Signature" not in done.stdout


def test_environment_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of AWS and PostgreSQL are out of sight during the demo and back after it."""
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("PGHOST", "elsewhere")
    before = dict(os.environ)
    with demo_steps.stage() as steps:
        steps["Emulator"](_silent)
        assert not {"AWS_PROFILE", "PGHOST"} & set(os.environ)
        assert steps["Sync engine"](_silent).facts["current_user"] == "app"
    assert dict(os.environ) == before


@pytest.mark.parametrize("step", ["forged_token", "expired_token"])
def test_refusal_for_another_reason(scene: Any, step: str) -> None:
    """A token that is refused, yet not for what is wrong with it, fails the step."""
    scene._rds.gateway.refuse_next = 1
    with pytest.raises(demo_steps.DemoError, match="refused, but not as"):
        getattr(scene, step)(_silent)


def test_let_in(scene: Any) -> None:
    """A server that lets in what it must refuse fails the step."""
    with pytest.raises(demo_steps.DemoError, match="let in"):
        scene._refused(password=scene._token(time.time()))


def test_lost_connects(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connects that are lost fail the rollover, with the first error."""
    monkeypatch.setattr(demo_flow, "_DEADLINE", 1.0)
    monkeypatch.setattr(demo_steps, "_GENERATIONS", 1)
    scene._rds.create_user("app", iam=False)
    with pytest.raises(demo_steps.DemoError, match=r" [1-9][0-9]* lost; .*authentication failed"):
        scene.rollover(_silent)


MISSING = """
import sys
sys.modules[sys.argv[1]] = None
from sqlalchemy_rds_iam.cli.demo_steps import stage
with stage():
    pass
"""


@pytest.mark.parametrize(("name", "package"), [("psycopg", "psycopg"), ("greenlet", "SQLAlchemy")])
def test_missing_driver(name: str, package: str) -> None:
    """Without a driver nothing starts, and the message says what to install."""
    # Of its own, as SQLAlchemy has loaded in this process what needs greenlet.
    done = subprocess.run(
        [sys.executable, "-c", MISSING, name],
        check=False,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert re.search(rf"ImportError: the demo needs {name}: pip install .*{package}", done.stderr)
