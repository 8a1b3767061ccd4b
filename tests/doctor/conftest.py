"""The fixture of the doctor's tests: a set-up in which they break one thing after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from doctor_catalogue import FAULTS
from doctor_support import Ward
from families import Words, words_of

from sqlalchemy_rds_iam.doctor import refused_token
from sqlalchemy_rds_iam.testing import RdsEmulator


@pytest.fixture
def words(request: pytest.FixtureRequest) -> Words:
    """Those of the family that the test names, or its driver's or its fault's."""
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    named = FAULTS.get(parameters.get("name", ""))
    family = parameters.get("family") or parameters.get("drivername")
    return words_of(family or (named.family if named else "postgresql"))


@pytest.fixture
def ward(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Ward]:
    """A healthy set-up."""
    if rds.engine.name == "mysql":
        pytest.importorskip(rds.engine.driver, reason=f"{rds.engine.driver} is not installed")
    # Nothing but throttling needs the time, and that fault takes it back.
    monkeypatch.setattr(refused_token, "PAUSE", 0.01)
    with contextlib.ExitStack() as cleanup:
        yield Ward(rds, monkeypatch, tmp_path, cleanup, rds.url())
