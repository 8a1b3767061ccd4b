"""Start a real, throw-away PostgreSQL that listens on a private unix socket only."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

from sqlalchemy_rds_iam.testing.server import binaries
from sqlalchemy_rds_iam.testing.server.local import StandbyServer
from sqlalchemy_rds_iam.testing.server.programs import Programs

SUPERUSER = "postgres"
_SOCKET = ".s.PGSQL.5432"

# The gateway has judged the tokens of rds_iam's members; who else asks has to have a password.
_ACCESS = f"""\
local all,replication {SUPERUSER} trust
local all +rds_iam trust
local all all scram-sha-256
"""

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


class Postgres(StandbyServer):
    """A PostgreSQL server in a temporary directory of its own, as fast and as frail as can be."""

    title = "PostgreSQL"
    socket_name = _SOCKET
    process_file = "data/postmaster.pid"
    at_once = signal.SIGQUIT
    in_good_order = signal.SIGINT

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
        super().__init__(deadline)

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

    def _found(self, directory: Path) -> Programs:
        place = binaries.find(self._choice, *self._needed)
        return Programs(place, directory, self._deadline)

    def _spawned(self, programs: Programs) -> subprocess.Popen[bytes]:
        settings = self._settings | {"unix_socket_directories": str(self.directory)}
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        return programs.spawn("postgres", "-D", self.directory / "data", *arguments)

    def _create(self, programs: Programs) -> None:
        options = ("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        data = self.directory / "data"
        programs.run("initdb", "--pgdata", data, "--username", SUPERUSER, *options)
        (data / "pg_hba.conf").write_text(_ACCESS)

    def _is_ready(self, pid: int) -> bool:
        """Whether the server says so in line 8 of its lock file, where pg_ctl looks too."""
        try:
            lines = (self.directory / self.process_file).read_text().splitlines()
        except FileNotFoundError:
            return False
        # Another server's file may be left from before.
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"  # noqa: PLR2004
