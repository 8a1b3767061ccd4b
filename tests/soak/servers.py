"""Servers of frameworks that fork, run for a test, and asked."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from sqlalchemy_rds_iam.testing import RdsEmulator

DEADLINE = 60.0


def environ(rds: RdsEmulator, **more: str) -> dict[str, str]:
    """The environment of a program of this package, which connects to `rds`."""
    path = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]
    own = {
        "SOAK_URL": rds.url().render_as_string(),
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
    }
    return os.environ | own | more


class Server:
    """A program of some framework, in a directory and an environment of its own."""

    def __init__(self, rds: RdsEmulator, directory: Path, preload: str, *command: str) -> None:
        self.environ = environ(rds, SOAK_PRELOAD=preload, SOAK_DIRECTORY=str(directory))
        self._log = directory / "log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=directory,
                env=self.environ,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(DEADLINE)

    @property
    def log(self) -> str:
        """What it has printed."""
        return self._log.read_text()


def ask(socket_file: Path) -> dict[str, Any]:
    """One HTTP request over a unix socket; empty while no server listens."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(DEADLINE)
        try:
            connection.connect(str(socket_file))
        except OSError:
            time.sleep(0.02)
            return {}
        connection.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        with connection.makefile("rb") as answer:
            return dict(json.loads(answer.read().partition(b"\r\n\r\n")[2]))
