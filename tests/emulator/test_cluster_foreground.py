"""`rds-iam emulator --cluster`: what it prints, and failovers by signal and by word."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from cli_support import COMMAND, python, ran, shown
from patience import DEADLINE, eventually, running
from sqlalchemy import create_engine, make_url, text

pytestmark = pytest.mark.server

CLUSTER = [*COMMAND, "emulator", "--cluster"]
ROLES = """
from sqlalchemy import text
from sqlalchemy_rds_iam import engine_pair
pair = engine_pair()
for engine in (pair.writer, pair.reader):
    with engine.connect() as connection:
        print(engine.driver, bool(connection.scalar(text("SELECT {}"))), flush=True)
"""
PG_ROLES = ROLES.format("pg_is_in_recovery()")


@contextmanager
def started(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """The cluster as a process, which SIGTERM ends with status 0 and no traceback."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with running(command, **pipes, **options) as process:
        # So that a line that does not come is not waited for.
        watchdog = threading.Timer(DEADLINE, process.kill)
        watchdog.start()
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=DEADLINE)
        finally:
            watchdog.cancel()
    assert process.returncode == 0
    assert "Traceback" not in errors


def said(process: subprocess.Popen[str], *words: str) -> str:
    """The next line on standard error that has one of `words`."""
    assert process.stderr is not None
    return next(line for line in process.stderr if any(word in line for word in words))


def handles(process: subprocess.Popen[str], number: signal.Signals) -> bool:
    """Whether the process has a handler for this signal."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    [caught] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
    return bool(int(caught, 16) >> (number - 1) & 1)


def test_a_signal_is_a_failover(monkeypatch: pytest.MonkeyPatch) -> None:
    """The URLs lead to a writer and a reader, and go on doing so after SIGUSR1."""
    with started([*CLUSTER, "--json"]) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        for name, value in told["environ"].items():
            monkeypatch.setenv(name, value)
        writer, reader = make_url(told["url"]), make_url(told["reader_url"])
        assert (writer.host, writer.port) == (told["host"], told["port"])
        for expected in ("instance 2", "instance 1"):
            process.send_signal(signal.SIGUSR1)
            assert expected in said(process, "is the writer")
            for url, in_recovery in ((writer, False), (reader, True)):
                engine = create_engine(url)
                with engine.connect() as connection:
                    found = connection.scalar(text("SELECT pg_is_in_recovery()"))
                engine.dispose()
                assert found is in_recovery


def test_a_signal_while_it_starts() -> None:
    """SIGUSR1 does not end what is about to be a cluster: the failover follows the start."""
    with started([sys.executable, "-m", "sqlalchemy_rds_iam.testing", "--cluster"]) as process:
        eventually(lambda: handles(process, signal.SIGTERM))
        process.send_signal(signal.SIGUSR1)
        assert "instance 2" in said(process, "is the writer")


def test_words_are_faults() -> None:
    """On a terminal: a fault for each word, and what is known for any other."""
    terminal, ours = pty.openpty()
    try:
        # A session of its own, in which the terminal is the controlling one.
        wrapper = (sys.executable, "-c", IN_TERMINAL, *CLUSTER)
        with started(wrapper, stdin=ours, start_new_session=True) as process:
            assert process.stderr is not None
            told = "".join(takewhile("Ctrl-C stops it.\n".__ne__, process.stderr))
            assert f"kill -USR1 {process.pid}" in told
            for typed, answer in (
                ("switch-over\n", "switch-over: done in"),
                ("partition\nheal\n", "heal: done in"),
                ("\nfailover never\n", "expected a number of seconds, not 'never'"),
                ("failover -1\n", "lag must be a number of seconds, 0 or more"),
                ("fail over\n", "unknown: 'fail over'; known are:"),
            ):
                os.write(terminal, typed.encode())
                said(process, answer)
    finally:
        os.close(ours)
        os.close(terminal)


IN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_what_to_export(tmp_path: Path) -> None:
    """Standard output is lines for a shell; a file has the same, and no terminal is needed."""
    file = tmp_path / "env"
    with started([*CLUSTER, "--env-file", str(file)], stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        before = takewhile(lambda line: not line.startswith("export DATABASE_URL"), process.stdout)
        exported = [line.split(" ", 1)[1].strip() for line in before if line.startswith("export ")]
        assert set(exported) < set(file.read_text().splitlines())
        names = {line.partition("=")[0] for line in exported}
        assert {"RDS_IAM_URL", "RDS_IAM_READER_URL"} < names
        assert said(process, "kill -USR1").endswith("is a failover.\n")


def test_a_command() -> None:
    """A pair of the environment alone connects to both, with the driver and as the user asked."""
    found = ran(
        "emulator", "--cluster", "--user", "report", "--driver", "pg8000", *python(PG_ROLES)
    )
    assert (found.code, found.out) == (0, "pg8000 False\npg8000 True\n"), found.err


@pytest.mark.usefixtures("rds_mysql_emulator")  # it skips where there is no MariaDB
def test_a_command_on_mysql() -> None:
    """The same of the other family, dialled by an address that every driver can verify."""
    roles = python(ROLES.format("@@GLOBAL.read_only"))
    found = ran("emulator", "--cluster", "--engine", "mysql", *roles)
    assert (found.code, found.out) == (0, "pymysql False\npymysql True\n"), found.err


def test_a_signal_to_a_command() -> None:
    """With a command SIGUSR1 is the command's, and not a failover."""
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(42))\n"
        f"{PG_ROLES}signal.pause()"
    )
    arguments = [*CLUSTER, *python(code)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with running(arguments, **pipes) as process:
        assert process.stdout is not None
        for _ in range(2):
            assert process.stdout.readline()
        process.send_signal(signal.SIGUSR1)
        _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 42
    assert "is the writer" not in errors


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--host", "db.example.com"), "a cluster has a host of its own: leave out --host"),
        (("--server", "postgresql://localhost"), "a server of its own: leave out --server"),
        (("--listen-port", "65533"), "four ports, from listen_port on: expected 65532 at most"),
    ],
)
def test_what_a_cluster_cannot_have(arguments: tuple[str, ...], sentence: str) -> None:
    """It is told before anything starts."""
    found = shown("emulator", "--cluster", "--postgres", "/nowhere", *arguments)
    assert (found.code, found.out) == (2, "")
    assert sentence in found.err


def test_an_emulator_alone_loads_no_cluster() -> None:
    """What an emulator, or the demo, needs is there without the modules of clusters."""
    code = (
        "import sys, sqlalchemy_rds_iam.testing, sqlalchemy_rds_iam.testing.foreground\n"
        "found = [name for name in sys.modules if '.testing.cluster' in name]\n"
        "assert not found, found\n"
        "assert sqlalchemy_rds_iam.testing.RdsCluster"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=DEADLINE)
