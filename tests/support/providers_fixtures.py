"""The fixture of the tests of providers. A test module names this one in `pytest_plugins`."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults_support import Clock, Way
from providers_support import Site

from sqlalchemy_rds_iam.testing import RdsEmulator

pytest_plugins = ["faults_fixtures"]


@pytest.fixture
def site(
    rds: RdsEmulator, clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: Way
) -> Site:
    """An environment with no provider in it, one way of fetching, and a clock for all."""
    return Site(rds, monkeypatch, tmp_path, way)
