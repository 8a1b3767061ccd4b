"""Fetches that hang, threads that cannot start: deadlines hold, and nothing is lost for good."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults_support import LIFE, Clock, Provider, settle
from patience import SOON, fetches_end
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam import WaitTimeout
from sqlalchemy_rds_iam._passwords.fetch import FETCH_LIMIT
from sqlalchemy_rds_iam.testing import RdsEmulator


class Process:
    """A credential_process that can be told to hang: the next ones, until all are let go."""

    def __init__(self, directory: Path, rds: RdsEmulator) -> None:
        self._directory = directory
        self._rds = rds
        self._hang = directory / "hang"
        (directory / "process").write_text(
            f"cd {directory}; if [ -e hang ]; then touch stuck-$$; fi\n"
            "while [ -e stuck-$$ ]; do sleep 0.02; done; cat answer\n"
        )
        (directory / "config").write_text(
            f"[default]\ncredential_process = sh {directory / 'process'}\n"
        )
        self.work()

    def hang(self) -> None:
        self._hang.touch()

    def work(self) -> None:
        """Work from the next one on, with new keys; those that hang go on hanging."""
        key = self._rds.identities.issue(self._rds.key.principal, LIFE)
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(key.expires_at))
        answer = {
            "Version": 1,
            "AccessKeyId": key.access_key,
            "SecretAccessKey": key.secret_key,
            "SessionToken": key.session_token,
            "Expiration": expires,
        }
        (self._directory / "answer").write_text(json.dumps(answer))
        self._hang.unlink(missing_ok=True)

    def let_go(self) -> None:
        self.work()
        for file in self._directory.glob("stuck-*"):
            file.unlink()


@pytest.fixture
def process(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Process]:
    """A process that hands out temporary keys, the only source of credentials there is."""
    for name in rds.key.environ():
        monkeypatch.delenv(name)
    process = Process(tmp_path, rds)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    yield process
    process.let_go()
    fetches_end()


def test_a_hanging_process(open_database: Callable[..., Database], process: Process) -> None:
    """No connect waits for it longer than rds_iam_timeout; once it goes on, so do connects."""
    process.hang()
    database = open_database(options={"rds_iam_timeout": "0.1"})
    for _ in range(2):
        before = time.monotonic()
        assert "rds_iam_timeout" in str(database.raises(WaitTimeout))
        assert 0.1 <= time.monotonic() - before < SOON
    process.let_go()
    assert open_database().scalar("select 1") == 1
    settle(database)


@pytest.mark.parametrize("first", [True, False], ids=["first", "renewal"])
def test_a_process_that_never_ends(
    open_database: Callable[..., Database], process: Process, clock: Clock, first: bool
) -> None:
    """One that is stuck for good is given up, and the next one is a new process."""
    database = open_database(poolclass=NullPool)
    hasty = open_database(poolclass=NullPool, options={"rds_iam_timeout": "0.3"})
    if not first:
        database.scalar("select 1")
        clock.offset += LIFE - 10
    process.hang()
    hasty.raises(WaitTimeout)
    clock.offset += FETCH_LIMIT
    process.work()
    try:
        assert database.scalar("select 1") == 1
    finally:
        process.let_go()
        settle(database)


def test_no_thread_for_a_renewal(
    open_database: Callable[..., Database],
    container: Provider,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A renewal that cannot begin, as no thread can be started, costs no connect and one line."""
    database = open_database(poolclass=NullPool)
    assert database.scalar("select 1") == 1
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "rds-iam-fetch":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    clock.offset += LIFE * 2 / 3 + 1
    for _ in range(5):
        assert database.scalar("select 1") == 1
    monkeypatch.setattr(threading.Thread, "start", start)
    clock.offset += 5
    key = database.inside.credentials.access_key
    assert database.scalar("select 1") == 1
    settle(database)
    assert database.inside.credentials.access_key != key
    ours = [record for record in caplog.records if record.name == "sqlalchemy_rds_iam"]
    assert len([record for record in ours if record.levelno == logging.WARNING]) == 1
