"""A cluster of one's own: how it begins and ends, and what its options do."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest
from emulator_support import libpq_at
from patience import DEADLINE, eventually, running

from sqlalchemy_rds_iam.testing import RdsCluster
from sqlalchemy_rds_iam.testing.server.postgres import Postgres

pytestmark = pytest.mark.server

ORPHAN = """
import time
from sqlalchemy_rds_iam.testing import RdsCluster
cluster = RdsCluster()
cluster.start()
cluster.failover(kill=True)
print(*(server.directory for server in cluster._servers), flush=True)
time.sleep(600)
"""


def processes(directory: Path) -> list[str]:
    """The PostgreSQL servers that run in `directory`."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(directory) in words and "postgres" in words:
            found.append(words)
    return found


def test_asynchronous_replication_loses_what_synchronous_keeps_waiting() -> None:
    """With the standby cut off, one reports as done what a failover loses; nothing stays behind."""
    with RdsCluster(synchronous=False, lone_writer_reads=True) as cluster:
        directories = [server.directory for server in cluster._servers]
        names = cluster.names
        cluster.execute("CREATE TABLE note (n int); GRANT ALL ON note TO app", "app")
        cluster.catch_up()
        cut_off(cluster)
        with psycopg.connect(**libpq_at(cluster, names.cluster)) as connection:
            connection.execute("INSERT INTO note VALUES (1)")
        cluster.failover(kill=True)
        assert cluster.execute("SELECT n FROM note", "app") == []
        # As Aurora's, the reader endpoint of a writer that is alone leads to it.
        with psycopg.connect(**libpq_at(cluster, names.reader)) as connection:
            connection.execute("INSERT INTO note VALUES (2)")
        cluster.rejoin()
        with psycopg.connect(**libpq_at(cluster, names.reader)) as connection:
            assert connection.info.parameter_status("in_hot_standby") == "on"
    for directory in directories:
        assert not directory.exists()
        assert processes(directory) == []


async def test_secrets_users_and_commits_with_synchronous_replication() -> None:
    """Secrets and users are made on the writer of the moment; a commit waits for the standby."""
    port = free_ports()
    async with RdsCluster("shop", region="eu-west-1", listen_port=port) as cluster:
        names = cluster.names
        assert [each.address[1] for each in names.endpoints] == list(range(port, port + 4))
        assert (
            names.reader.signed.host == "shop.cluster-ro-c0ffee123456.eu-west-1.rds.amazonaws.com"
        )
        cluster.switch_over()
        cluster.create_user("report")
        secret = cluster.secrets.create("report-secret", "clerk", database="app")
        login = {key: secret.fields()[key] for key in ("host", "port")}
        assert (login["host"], login["port"]) == names.cluster.address
        cluster.catch_up()
        password = secret.fields()["password"]
        arguments = libpq_at(cluster, names.reader, user="clerk", password=password)
        psycopg.connect(**arguments).close()
        psycopg.connect(**libpq_at(cluster, names.reader, user="report")).close()
        cut_off(cluster)
        with psycopg.connect(**libpq_at(cluster, names.cluster)) as connection:
            connection.execute("CREATE TABLE note (n int)")
            with pytest.raises(psycopg.OperationalError):
                commit_in_vain(cluster, connection)


def commit_in_vain(cluster: RdsCluster, connection: psycopg.Connection) -> None:
    """Commit without a standby, until a demotion ends it, which may not report it as done."""
    pid = connection.info.backend_pid
    waiting = f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'SyncRep'"

    def demote() -> None:
        eventually(lambda: cluster.execute(waiting), "the commit does not wait")
        cluster._call(cluster.writer.replica.release())

    thread = threading.Thread(target=demote)
    thread.start()
    try:
        connection.commit()
    finally:
        thread.join(DEADLINE)


def cut_off(cluster: RdsCluster) -> None:
    """Stop replication, and leave the standby as it is."""
    for sql in ("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"):
        cluster.execute(sql, member=cluster.standby)
    eventually(lambda: not cluster.execute("SELECT 1 FROM pg_stat_replication"))


def free_ports() -> int:
    """The first of four ports that are free, most likely still in a moment."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = int(first.getsockname()[1])
            try:
                for offset in (1, 2, 3):
                    socket.create_server(("127.0.0.1", port + offset)).close()
            except (OSError, OverflowError):
                continue
        return port


def test_it_dies_with_a_parent_that_is_killed() -> None:
    """SIGKILL of the process that started it removes all, also of the member that was down."""
    with running([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        directories = [Path(each) for each in parent.stdout.readline().decode().split()]
        assert [bool(processes(each)) for each in directories] == [False, True]
        parent.send_signal(signal.SIGKILL)
        parent.wait(DEADLINE)
    for directory in directories:
        eventually(lambda each=directory: not each.exists())
        eventually(lambda each=directory: not processes(each))


def test_a_start_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that is taken, and a standby that cannot be made, end all that has been started."""
    started: list[Path] = []
    start = Postgres.start

    def noted(server: Postgres, source: Postgres | None = None) -> None:
        start(server, source)
        started.append(server.directory)

    monkeypatch.setattr(Postgres, "start", noted)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        cluster = RdsCluster(listen_port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            cluster.start()
    assert len(started) == 2
    monkeypatch.setattr(Postgres, "copy", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        RdsCluster().start()
    for directory in started:
        assert not directory.exists()
        assert processes(directory) == []


def test_programs_without_pg_basebackup_will_not_do(tmp_path: Path) -> None:
    """What the directory lacks is told."""
    for name in ("postgres", "initdb"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    with pytest.raises(RuntimeError, match="holds postgres and initdb and pg_basebackup"):
        RdsCluster(postgres=str(tmp_path)).start()
