"""Forked while a session of botocore's is being made: no child finds half a module, or a lock."""

from __future__ import annotations

import subprocess
import sys

import botocore.httpsession
import pytest
from faults_support import Way
from soak.children import DEADLINE
from soak.servers import environ

from sqlalchemy_rds_iam._aws import sessions
from sqlalchemy_rds_iam.testing import RdsEmulator


def first_connect(rds: RdsEmulator, way: Way, *module: str) -> tuple[int, str, str]:
    """Exit status, output and standard error of a process that connects for the first time."""
    asked = way.credentials if way.is_async else "sync", *module
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore::DeprecationWarning:__main__",
            "-m",
            "soak.importing",
            *asked,
        ],
        env=environ(rds),
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.soak
@pytest.mark.usefixtures("container")  # keys in the environment are taken without botocore
@pytest.mark.parametrize("module", ["botocore", "botocore.httpsession"])
def test_fork_while_botocore_is_imported(rds: RdsEmulator, way: Way, module: str) -> None:
    """A child forked while the first fetch of the process imports botocore can import it, too."""
    assert first_connect(rds, way, module) == (0, "", "")


@pytest.mark.soak
@pytest.mark.usefixtures("provider")
def test_a_fetch_imports_nothing_late(rds: RdsEmulator, way: Way) -> None:
    """Nothing is imported while a fork does not wait for it: a child would find it locked."""
    assert first_connect(rds, way) == (0, "", "")


@pytest.mark.usefixtures("container")
def test_http_clients_come_with_their_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """As forks wait for sessions, OpenSSL has nothing to do, nor to lock, right after that."""
    session = sessions.botocore_session(None)
    monkeypatch.setattr(
        botocore.httpsession, "create_urllib3_context", lambda: pytest.fail("made too late")
    )
    assert session.get_credentials().get_frozen_credentials().access_key
