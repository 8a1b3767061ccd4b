"""The garbage collector, held off while botocore is imported: by whom, and what stays of it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest
from patience import DEADLINE

from sqlalchemy_rds_iam._aws.collector import uncollected


def test_the_collector_is_left_as_it_was() -> None:
    """Holding off garbage collection ends with the block, and respects an earlier hold."""
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            with uncollected():
                assert not gc.isenabled()
            assert gc.isenabled() is enabled
        finally:
            gc.enable()
    gc.freeze()
    try:
        with uncollected():
            assert gc.isenabled()
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()


def test_what_an_interpreter_has_frozen_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector is held off where a few objects are frozen from the start, as in 3.12.1."""
    count = gc.get_freeze_count
    monkeypatch.setattr(gc, "get_freeze_count", lambda: 375 + count())
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_is_frozen_meanwhile_stays_so() -> None:
    """An application that freezes its objects while botocore is imported keeps them frozen."""
    try:
        with uncollected():
            gc.freeze()
        assert gc.get_freeze_count() > 10_000
        assert gc.isenabled()
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("frozen", [False, True], ids=["as-started", "by-the-application"])
def test_the_collector_in_a_new_process(frozen: bool) -> None:
    """In an interpreter as it starts the collector is held off, unless all there is was frozen."""
    code = (
        "import gc, sys\n"
        f"if {frozen}: gc.freeze()\n"
        "from sqlalchemy_rds_iam._aws.collector import uncollected\n"
        "before = gc.get_freeze_count()\n"
        "with uncollected():\n"
        f"    assert gc.isenabled() is {frozen}, before\n"
        f"assert gc.get_freeze_count() == before or not {frozen}\n"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True, timeout=DEADLINE)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_forked_child_collects_garbage() -> None:
    """A child that is forked while the collector is held off gets it back."""
    with uncollected():
        child = os.fork()
        if child == 0:
            os._exit(0 if gc.isenabled() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert gc.isenabled()
