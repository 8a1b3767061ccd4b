"""Start a real, throw-away MariaDB that listens on a private unix socket only."""

from __future__ import annotations

import secrets
import signal
import subprocess
from pathlib import Path
from socket import AF_UNIX, socket

from sqlalchemy_rds_iam.testing.server import mariadb_programs
from sqlalchemy_rds_iam.testing.server.local import LocalServer
from sqlalchemy_rds_iam.testing.server.programs import Programs

# The name of RDS's own.
SUPERUSER = "rdsadmin"

# Each statement on a line of its own, as mariadbd reads them here. The system tables' data has
# accounts of root, and in the bootstrap no account is asked for a password.
_OPENING = "CREATE DATABASE mysql;\nUSE mysql;\n"
_ACCOUNTS = """
DELETE FROM global_priv WHERE User NOT IN ('mariadb.sys');
FLUSH PRIVILEGES;
CREATE USER '{user}'@'localhost' IDENTIFIED BY '{password}';
GRANT ALL PRIVILEGES ON *.* TO '{user}'@'localhost' WITH GRANT OPTION;
"""

_SETTINGS = (
    "--skip-networking",
    "--skip-name-resolve",
    "--skip-log-bin",
    # Nothing here outlives the process: speed, and little memory, instead of durability.
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=OFF",
    "--innodb-buffer-pool-size=32M",
    "--innodb-buffer-pool-dump-at-shutdown=OFF",
    "--innodb-log-file-size=8M",
    "--aria-pagecache-buffer-size=8M",
    "--key-buffer-size=1M",
    "--performance-schema=OFF",
    # A client that takes its time with the token keeps the server waiting, too.
    "--connect-timeout=3600",
    "--character-set-server=utf8mb4",
    "--local-infile=ON",
)


class MariaDb(LocalServer):
    """A MariaDB server in a temporary directory of its own, as fast and as frail as can be.

    Attributes:
        password: The superuser's. The socket's directory keeps out all but the server's own system
            user, and this keeps out what comes through the gateway.
    """

    title = "MariaDB"
    socket_name = "s"
    process_file = "pid"
    # It has no other end without a good order.
    at_once = signal.SIGKILL
    in_good_order = signal.SIGTERM

    def __init__(
        self, choice: str | None = None, max_connections: int = 500, deadline: float = 60.0
    ) -> None:
        """Say which server to run; `start` runs it.

        Args:
            choice: See `mariadb_programs.find`.
            max_connections: The server's setting of that name.
            deadline: The most seconds the start, and again the stop, may take.
        """
        super().__init__(deadline)
        self._choice = choice
        self._settings = (*_SETTINGS, f"--max-connections={max_connections}")
        self._installation: mariadb_programs.Installation | None = None
        self.password = secrets.token_hex(16)

    def _found(self, directory: Path) -> Programs:
        found = self._installation = mariadb_programs.find(self._choice)
        more = {"LD_LIBRARY_PATH": found.libraries} if found.libraries else None
        return Programs(found.programs, directory, self._deadline, more, root=found.root)

    def _create(self, programs: Programs) -> None:
        assert self._installation is not None
        (self.directory / "data").mkdir()
        programs.own(self.directory / "data")
        tables = "".join(file.read_text("utf-8") for file in self._installation.tables)
        accounts = _ACCOUNTS.format(user=SUPERUSER, password=self.password)
        arguments = (*self._arguments(programs), "--bootstrap")
        said = _OPENING + tables + accounts
        programs.run(mariadb_programs.PROGRAM, *arguments, said=said)

    def _spawned(self, programs: Programs) -> subprocess.Popen[bytes]:
        return programs.spawn(mariadb_programs.PROGRAM, *self._arguments(programs))

    def _is_ready(self, _pid: int) -> bool:
        with socket(AF_UNIX) as probe:
            try:
                probe.connect(self.socket)
            except OSError:
                return False
            return True

    def _arguments(self, programs: Programs) -> list[str]:
        assert self._installation is not None
        share = programs.within(self._installation.share)
        return [
            "--no-defaults",
            f"--datadir={self.directory / 'data'}",
            f"--tmpdir={self.directory}",
            f"--socket={self.socket}",
            f"--pid-file={self.directory / self.process_file}",
            f"--lc-messages-dir={share}",
            f"--character-sets-dir={share / 'charsets'}",
            *self._settings,
        ]
