"""The client processes as seen from outside: start, command, freeze, end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from soak.account import Account
from soak.cast import Role
from sqlalchemy_rds_iam.testing import RdsEmulator

_LONGEST_END = 120.0
_FOREIGN = ("AWS_", "PG", "XDG_")


class Actor:
    """One client process with its account."""

    def __init__(self, role: Role, account: Account) -> None:
        self.role = role
        self.account = account
        self.exit_code: int | None = None
        self.pid = 0
        self._process: subprocess.Popen[str] | None = None
        self._errors: TextIO | None = None

    def start(self, rds: RdsEmulator, directory: Path) -> None:
        """Start the process; it writes its records into a directory of its own."""
        own = directory / self.role.name
        own.mkdir()
        config = own / "config"
        config.write_text(self.account.config(rds), encoding="utf-8")
        environ = {name: v for name, v in os.environ.items() if not name.startswith(_FOREIGN)}
        environ |= self.account.environ(str(config)) | {"HOME": str(own)}
        self._errors = (own / "stderr").open("w", encoding="utf-8")
        # A group of its own, to end it with its children. Should this process be killed, the
        # system sends groups that are left behind stopped a SIGHUP and a SIGCONT.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "soak.client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env=environ,
            text=True,
            process_group=0,
        )
        self.pid = self._process.pid
        task = {
            "name": self.role.name,
            "directory": str(own),
            "url": rds.url().render_as_string(),
        }
        self.order(json.dumps(task))

    def order(self, line: str) -> None:
        """Tell the process something."""
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has died, which its exit status tells
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def freeze(self) -> None:
        """Stop the process where it stands."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def wait(self) -> None:
        """Wait for its end, after it was told to stop."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self.exit_code = self._process.wait(_LONGEST_END)

    def end(self) -> None:
        """End whatever there still is of it. Harmless when there is nothing."""
        if self._process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        if self._errors is not None:
            self._errors.close()
        self._process = None

    @property
    def dead(self) -> bool:
        """Whether the process has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
