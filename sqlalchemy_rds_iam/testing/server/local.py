"""A throw-away database server in a directory of its own: it ends with this process, by any end."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from sqlalchemy_rds_iam.testing.server import binaries
from sqlalchemy_rds_iam.testing.server.programs import Programs, make_directory

_LAST_WRITES = 5.0
_POLL = 0.01

# Outlives a parent that is killed hard: its end of the pipe closes, `read` fails, the server goes.
# Which process is the server changes with each restart; the file in which it says so does not.
_GUARD = """
read -r _ && exit 0
if read -r pid < "$1/$2"; then
  kill -"$3" "$pid"
  for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$pid" || break; sleep 0.2; done
fi
rm -rf "$1"
"""


class LocalServer(ABC):
    """One server, between `start` and `stop`."""

    title: str
    """What it is, for sentences."""
    socket_name: str
    """Its unix socket, in `directory`."""
    process_file: str
    """Where, in `directory`, it says the number of its process."""
    at_once: signal.Signals
    """Ends it without a checkpoint: nothing is worth one."""
    in_good_order: signal.Signals
    """Ends all sessions and then the server."""

    def __init__(self, deadline: float) -> None:
        """Give the start, and again the stop, so many seconds at most."""
        self._deadline = deadline
        self._directory: Path | None = None
        self._programs: Programs | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def directory(self) -> Path:
        """Everything the server writes, between `start` and `stop`; its user and root may enter."""
        assert self._directory is not None
        return self._directory

    @property
    def socket(self) -> str:
        """The path of the server's unix socket."""
        return str(self.directory / self.socket_name)

    @property
    def runs(self) -> bool:
        """Whether the server has been started and not been stopped."""
        return self._server is not None

    def start(self) -> None:
        """Make the files of a new server and start it; return once it takes connections.

        Raises:
            RuntimeError: It did not start; the message ends with the server's own last words.
        """
        with self._beginning() as programs:
            self._create(programs)
            self.launch()

    def launch(self) -> None:
        """Start the server on the files that are there; return once it takes connections.

        Raises:
            RuntimeError: It did not start.
        """
        assert self._programs is not None
        self._server = self._spawned(self._programs)
        self._await_ready(self._programs, self._server)

    def kill(self) -> None:
        """End the server at once. Harmless when it is stopped."""
        self._end(self.at_once)

    def shut_down(self) -> None:
        """End all sessions and the server, in good order: a standby gets all that was written."""
        self._end(self.in_good_order)

    def stop(self) -> None:
        """Stop the server and remove everything it wrote. Harmless when it is not running."""
        self.kill()
        if self._guard is not None:
            self._guard.communicate(b"\n", self._deadline)
            self._guard = None
        if self._directory is not None:
            _remove(self._directory, time.monotonic() + _LAST_WRITES)
            self._directory = None

    @contextmanager
    def _beginning(self) -> Iterator[Programs]:
        """A directory, what guards it, and the programs; all is undone if the block fails."""
        self._directory = make_directory(self.socket_name)
        try:
            self._guard = self._guarded(self._directory)
            self._programs = self._found(self._directory)
            yield self._programs
        except BaseException:
            self.stop()
            raise

    @abstractmethod
    def _found(self, directory: Path) -> Programs:
        """Its programs.

        Raises:
            RuntimeError: There are none.
        """

    @abstractmethod
    def _create(self, programs: Programs) -> None:
        """Make the files of a new server."""

    @abstractmethod
    def _spawned(self, programs: Programs) -> subprocess.Popen[bytes]:
        """Start the process."""

    @abstractmethod
    def _is_ready(self, pid: int) -> bool:
        """Whether the server of that process takes connections."""

    def _end(self, number: signal.Signals) -> None:
        if self._server is not None:
            self._server.send_signal(number)
            try:
                self._server.wait(self._deadline)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait(self._deadline)
            self._server = None

    def _await_ready(self, programs: Programs, server: subprocess.Popen[bytes]) -> None:
        expires = time.monotonic() + self._deadline
        while not self._is_ready(server.pid):
            if server.poll() is not None:
                raise RuntimeError(f"{self.title} ended at once:\n{programs.last_words()}")
            if time.monotonic() > expires:
                raise RuntimeError(
                    f"{self.title} was not ready within {self._deadline:.0f} s:\n"
                    f"{programs.last_words()}"
                )
            time.sleep(_POLL)

    def _guarded(self, directory: Path) -> subprocess.Popen[bytes]:
        number = self.at_once.name.removeprefix("SIG")
        return subprocess.Popen(  # noqa: S603 - our own script and arguments
            ["/bin/sh", "-c", _GUARD, "sh", str(directory), self.process_file, number],
            env=binaries.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


class StandbyServer(LocalServer):
    """A server that may have a standby, and be one."""

    def start(self, source: Self | None = None) -> None:
        """Make the server's files and start it; return once it takes connections.

        Args:
            source: A running server to copy, as its standby; None makes a new one.

        Raises:
            RuntimeError: It did not start; the message ends with the server's own last words.
        """
        if source is None:
            super().start()
            return
        with self._beginning():
            self.copy(source)

    @abstractmethod
    def copy(self, source: Self) -> None:
        """Replace all files by a copy of those of a running server, and start as its standby.

        Raises:
            RuntimeError: The copy failed, or the server did not start.
        """


def _remove(directory: Path, expires: float) -> None:
    """Remove `directory`, into which the server's children may still write their last."""
    while directory.exists():
        shutil.rmtree(directory, ignore_errors=True)
        if time.monotonic() > expires:
            return
        time.sleep(_POLL)
