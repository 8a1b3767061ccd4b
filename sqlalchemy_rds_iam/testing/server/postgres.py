"""Start a real, throw-away PostgreSQL that listens on a private unix socket only."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

from sqlalchemy_rds_iam.testing.server import binaries
from sqlalchemy_rds_iam.testing.server.programs import Programs, make_directory

SUPERUSER = "postgres"
_SOCKET = ".s.PGSQL.5432"

# The gateway has judged the tokens of rds_iam's members; who else asks has to have a password.
_ACCESS = f"""\
local all,replication {SUPERUSER} trust
local all +rds_iam trust
local all all scram-sha-256
"""

_LAST_WRITES = 5.0
_POLL = 0.01

_SETTINGS = {
    "listen_addresses": "",
    # The socket trusts its superuser, so only the server's own system user may open it.
    "unix_socket_permissions": "0700",
    # Nothing here outlives the process: speed instead of durability.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "shared_buffers": "32MB",
}

_REPLICATION = {
    "wal_level": "replica",
    "max_wal_senders": "5",
    # For a standby that was a primary a moment ago, and has missed the start of this one.
    "wal_keep_size": "64MB",
    "full_page_writes": "on",
    # What is reported as done is on the standby, where there is a synchronous one.
    "synchronous_commit": "on",
}

# Outlives a parent that is killed hard: its end of the pipe closes, `read` fails, the server goes.
# Which process is the server changes with each restart; its lock file says it.
_GUARD = """
read -r _ && exit 0
if read -r pid < "$1/data/postmaster.pid"; then
  kill -QUIT "$pid"
  for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$pid" || break; sleep 0.2; done
fi
rm -rf "$1"
"""


class Postgres:
    """A PostgreSQL server in a temporary directory of its own, as fast and as frail as can be."""

    def __init__(
        self,
        choice: str | None = None,
        max_connections: int = 500,
        deadline: float = 60.0,
        *,
        replication: bool = False,
    ) -> None:
        """Say which server to run; `start` runs it.

        Args:
            choice: See `binaries.find`.
            max_connections: The server's setting of that name.
            deadline: The most seconds the start, and again the stop, may take.
            replication: Whether it may have standbys, and be one.
        """
        self._choice = choice
        self._needed = ("pg_basebackup",) if replication else ()
        self._settings = _SETTINGS | {"max_connections": str(max_connections)}
        if replication:
            self._settings |= _REPLICATION
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
        return str(self.directory / _SOCKET)

    @property
    def runs(self) -> bool:
        """Whether the server has been started and not been stopped."""
        return self._server is not None

    def start(self, source: Postgres | None = None) -> None:
        """Create the cluster and start the server; return once it takes connections.

        Args:
            source: A running server to copy, as its standby; None makes a new cluster.

        Raises:
            RuntimeError: It did not start; the message ends with the server's own last words.
        """
        self._directory = make_directory(_SOCKET)
        try:
            self._guard = _guard(self._directory)
            self._programs = Programs(self._choice, self._needed, self._directory, self._deadline)
            if source is None:
                self._create_cluster(self._programs)
                self.launch()
            else:
                self.copy(source)
        except BaseException:
            self.stop()
            raise

    def launch(self) -> None:
        """Start the server on the files that are there; return once it takes connections.

        Raises:
            RuntimeError: It did not start.
        """
        assert self._programs is not None
        settings = self._settings | {"unix_socket_directories": str(self.directory)}
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        self._server = self._programs.spawn("postgres", "-D", self.directory / "data", *arguments)
        self._await_ready(self._programs, self._server)

    def copy(self, source: Postgres) -> None:
        """Replace all files by a copy of those of a running server, and start as its standby.

        Raises:
            RuntimeError: The copy failed, or the server did not start.
        """
        assert self._programs is not None
        data = self.directory / "data"
        shutil.rmtree(data, ignore_errors=True)
        options = ("--checkpoint=fast", "--no-sync", f"--username={SUPERUSER}")
        self._programs.run("pg_basebackup", "-D", data, "-h", source.directory, *options)
        self.follow(source)

    def follow(self, source: Postgres) -> None:
        """Start as the standby of a running server, on files that hold nothing which it lacks.

        Raises:
            RuntimeError: It did not start.
        """
        data = self.directory / "data"
        # In place of what ALTER SYSTEM has set, here or where the files are from.
        primary = f"host={source.directory} user={SUPERUSER}"
        (data / "postgresql.auto.conf").write_text(f"primary_conninfo = '{primary}'\n")
        (data / "standby.signal").touch()
        self.launch()

    def kill(self) -> None:
        """End the server at once: nothing is worth a checkpoint. Harmless when it is stopped."""
        self._end(signal.SIGQUIT)

    def shut_down(self) -> None:
        """End all sessions and the server, in good order: a standby gets all that was written."""
        self._end(signal.SIGINT)

    def stop(self) -> None:
        """Stop the server and remove everything it wrote. Harmless when it is not running."""
        self.kill()
        if self._guard is not None:
            self._guard.communicate(b"\n", self._deadline)
            self._guard = None
        if self._directory is not None:
            _remove(self._directory, time.monotonic() + _LAST_WRITES)
            self._directory = None

    def _end(self, number: signal.Signals) -> None:
        if self._server is not None:
            self._server.send_signal(number)
            try:
                self._server.wait(self._deadline)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait(self._deadline)
            self._server = None

    def _create_cluster(self, programs: Programs) -> None:
        options = ("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        data = self.directory / "data"
        programs.run("initdb", "--pgdata", data, "--username", SUPERUSER, *options)
        (data / "pg_hba.conf").write_text(_ACCESS)

    def _await_ready(self, programs: Programs, server: subprocess.Popen[bytes]) -> None:
        expires = time.monotonic() + self._deadline
        while not _ready(self.directory, server.pid):
            if server.poll() is not None:
                raise RuntimeError(f"PostgreSQL ended at once:\n{programs.last_words()}")
            if time.monotonic() > expires:
                raise RuntimeError(
                    f"PostgreSQL was not ready within {self._deadline:.0f} s:\n"
                    f"{programs.last_words()}"
                )
            time.sleep(_POLL)


def _guard(directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own script and arguments
        ["/bin/sh", "-c", _GUARD, "sh", str(directory)],
        env=binaries.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _remove(directory: Path, expires: float) -> None:
    """Remove `directory`, into which the server's children may still write their last."""
    while directory.exists():
        shutil.rmtree(directory, ignore_errors=True)
        if time.monotonic() > expires:
            return
        time.sleep(_POLL)


def _ready(directory: Path, pid: int) -> bool:
    """Whether the server `pid` says so in line 8 of its lock file, where pg_ctl looks too."""
    try:
        lines = (directory / "data" / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    # Another server's file may be left from before.
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"  # noqa: PLR2004
