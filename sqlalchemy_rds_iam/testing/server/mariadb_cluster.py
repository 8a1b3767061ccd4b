"""A MariaDB that may have a standby, and be one: replication by GTID, semi-synchronous if wanted.

See "Setting up Replication" and "Semisynchronous Replication" in the MariaDB documentation.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Self

from sqlalchemy_rds_iam.testing.server import mariadb_programs
from sqlalchemy_rds_iam.testing.server.local import StandbyServer
from sqlalchemy_rds_iam.testing.server.mariadb import SUPERUSER, MariaDb
from sqlalchemy_rds_iam.testing.server.programs import Programs

_LONGEST_WAIT = 0xFFFF_FFFF

_SETTINGS = (
    "--log-bin=binlog",
    # Each server can be the source of all that has ever been written.
    "--log-slave-updates",
    "--gtid-strict-mode",
    "--binlog-format=ROW",
    "--sync-binlog=0",
    "--relay-log=relay",
    "--skip-slave-start",
    # A commit is not reported, nor seen by others, before a synchronous standby has it.
    "--rpl-semi-sync-slave-enabled",
    f"--rpl-semi-sync-master-timeout={_LONGEST_WAIT}",
    "--rpl-semi-sync-master-wait-point=AFTER_SYNC",
)

# Each statement on a line of its own, as the server reads them.
_FOLLOW = """\
SET GLOBAL gtid_slave_pos = @@gtid_binlog_pos;
CHANGE MASTER TO MASTER_HOST = '{host}', MASTER_PORT = {port}, MASTER_USER = '{user}', \
MASTER_PASSWORD = '{password}', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1;
START SLAVE;
"""


class ClusterMariaDb(StandbyServer, MariaDb):
    """A MariaDB server in a temporary directory of its own, of a cluster.

    Attributes:
        leads_from: The IP address and port that lead to it, for a standby.
    """

    leads_from: tuple[str, int]
    _empty: Path

    def __init__(self, choice: str | None = None) -> None:
        """Say which server to run, as `MariaDb` does; `start` runs it."""
        super().__init__(choice)
        # Each server of a cluster has another one.
        self._role: tuple[str, ...] = (f"--server-id={secrets.randbelow(1 << 31) + 1}",)

    def copy(self, source: Self) -> None:
        """Start as the standby of a running server, from which all that it has is fetched anew.

        Raises:
            RuntimeError: It did not start.
        """
        assert self._programs is not None
        # The accounts, and what their passwords are made from, are those of the source.
        self.password, self._empty = source.password, source._empty
        shutil.rmtree(self._data, ignore_errors=True)
        _copy(self._programs, self._empty, self._data)
        self.follow(source)

    def follow(self, source: Self) -> None:
        """Start as the standby of a running server, on files that hold nothing which it lacks.

        Raises:
            RuntimeError: It did not start.
        """
        assert self._programs is not None
        host, port = source.leads_from
        first = self.directory / "first.sql"
        first.touch(0o600)
        first.write_text(
            _FOLLOW.format(host=host, port=port, user=SUPERUSER, password=source.password)
        )
        self._programs.own(first)
        self._role = (self._role[0], "--read-only", f"--init-file={first}")
        self.launch()

    def _create(self, programs: Programs) -> None:
        super()._create(programs)
        # What every standby begins with.
        self._empty = self.directory / "empty"
        _copy(programs, self._data, self._empty)

    def _spawned(self, programs: Programs) -> subprocess.Popen[bytes]:
        arguments = (*self._arguments(programs), *_SETTINGS, *self._role)
        return programs.spawn(mariadb_programs.PROGRAM, *arguments)

    @property
    def _data(self) -> Path:
        return self.directory / "data"


def _copy(programs: Programs, files: Path, to: Path) -> None:
    shutil.copytree(files, to)
    for path in (to, *to.rglob("*")):
        programs.own(path)
