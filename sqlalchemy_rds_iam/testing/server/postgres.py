"""Start a real, throw-away PostgreSQL that listens on a private unix socket only."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy_rds_iam.testing.server import binaries

SUPERUSER = "postgres"
_SOCKET = ".s.PGSQL.5432"

# The gateway has judged the tokens of rds_iam's members; who else asks has to have a password.
_ACCESS = f"""\
local all {SUPERUSER} trust
local all +rds_iam trust
local all all scram-sha-256
"""

# sun_path holds 104 bytes on the BSDs and macOS, 108 on Linux, the final zero included.
_LONGEST_SOCKET = 103
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

# Outlives a parent that is killed hard: its end of the pipe closes, `read` fails, the server goes.
_GUARD = """
read -r _ && exit 0
kill -QUIT "$1"
for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" || break; sleep 0.2; done
rm -rf "$2"
"""


class Postgres:
    """A PostgreSQL server in a temporary directory of its own, as fast and as frail as can be.

    PostgreSQL refuses to run as root, so root starts it as the system user ``postgres`` or
    ``nobody``.
    """

    def __init__(
        self, choice: str | None = None, max_connections: int = 500, deadline: float = 60.0
    ) -> None:
        """Say which server to run; `start` runs it.

        Args:
            choice: See `binaries.find`.
            max_connections: The server's setting of that name.
            deadline: The most seconds the start, and again the stop, may take.
        """
        self._choice = choice
        self._max_connections = max_connections
        self._deadline = deadline
        self._directory: Path | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def directory(self) -> Path:
        """Everything the server writes, only while it runs; its user and root may enter."""
        assert self._directory is not None
        return self._directory

    @property
    def socket(self) -> str:
        """The path of the server's unix socket."""
        return str(self.directory / _SOCKET)

    def start(self) -> None:
        """Create the cluster and start the server; return once it takes connections.

        Raises:
            RuntimeError: It did not start; the message ends with the server's own last words.
        """
        account = _account()
        directory = self._directory = _make_directory(account)
        try:
            programs = _within_reach(binaries.find(self._choice), directory, account)
            expires = time.monotonic() + self._deadline
            self._create_cluster(programs, directory, account)
            self._launch(programs, directory, account)
            self._await_ready(directory, expires)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server and remove everything it wrote. Harmless when it is not running."""
        if self._server is not None:
            # An immediate shutdown: nothing is worth a checkpoint.
            self._server.send_signal(signal.SIGQUIT)
            try:
                self._server.wait(self._deadline)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait(self._deadline)
            self._server = None
        if self._guard is not None:
            self._guard.communicate(b"\n", self._deadline)
            self._guard = None
        if self._directory is not None:
            _remove(self._directory, time.monotonic() + _LAST_WRITES)
            self._directory = None

    def _create_cluster(
        self, programs: Path, directory: Path, account: pwd.struct_passwd | None
    ) -> None:
        command: list[str | Path] = [programs / "initdb", "--pgdata", directory / "data"]
        command += [
            "--username",
            SUPERUSER,
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]
        with (directory / "log").open("wb") as log:
            process = _spawn(command, directory, account, log.fileno())
            try:
                status = process.wait(self._deadline)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(self._deadline)
                raise RuntimeError(
                    f"initdb of {programs} did not finish within {self._deadline:.0f} s"
                ) from None
        if status != 0:
            raise RuntimeError(f"initdb of {programs} failed:\n{_last_words(directory)}")
        (directory / "data" / "pg_hba.conf").write_text(_ACCESS)

    def _launch(self, programs: Path, directory: Path, account: pwd.struct_passwd | None) -> None:
        settings = _SETTINGS | {
            "unix_socket_directories": str(directory),
            "max_connections": str(self._max_connections),
        }
        command: list[str | Path] = [programs / "postgres", "-D", directory / "data"]
        command += [f"--{name}={value}" for name, value in settings.items()]
        with (directory / "log").open("wb") as log:
            self._server = _spawn(command, directory, account, log.fileno())
        self._guard = subprocess.Popen(  # noqa: S603 - our own script and arguments
            ["/bin/sh", "-c", _GUARD, "sh", str(self._server.pid), str(directory)],
            env=binaries.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _await_ready(self, directory: Path, expires: float) -> None:
        assert self._server is not None
        while not _ready(directory):
            if self._server.poll() is not None:
                raise RuntimeError(f"PostgreSQL ended at once:\n{_last_words(directory)}")
            if time.monotonic() > expires:
                raise RuntimeError(
                    f"PostgreSQL was not ready within {self._deadline:.0f} s:\n"
                    f"{_last_words(directory)}"
                )
            time.sleep(_POLL)


def _remove(directory: Path, expires: float) -> None:
    """Remove `directory`, into which the server's children may still write their last."""
    while directory.exists():
        shutil.rmtree(directory, ignore_errors=True)
        if time.monotonic() > expires:
            return
        time.sleep(_POLL)


def _ready(directory: Path) -> bool:
    """Whether the server says so in line 8 of its lock file, where pg_ctl looks too."""
    try:
        lines = (directory / "data" / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[7].strip() == "ready"  # noqa: PLR2004 - the eighth line


def _last_words(directory: Path) -> str:
    return (directory / "log").read_text(errors="replace")[-2000:]


def _account() -> pwd.struct_passwd | None:
    """The system user to run the server as, None to run it as ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError(
        "PostgreSQL refuses to run as root and there is no user postgres or nobody to run it as: "
        "run as an ordinary user, or create one of these"
    )


def _make_directory(account: pwd.struct_passwd | None) -> Path:
    for base in (Path(tempfile.gettempdir()).resolve(), Path("/tmp")):  # noqa: S108 - mkdtemp
        if account is not None and not _open_to_all(base / "x"):
            continue
        if len(os.fsencode(base / "rds-iam-xxxxxxxx" / _SOCKET)) > _LONGEST_SOCKET:
            continue
        directory = Path(tempfile.mkdtemp(prefix="rds-iam-", dir=base))
        if account is not None:
            os.chown(directory, account.pw_uid, account.pw_gid)
        return directory
    raise RuntimeError(
        f"no temporary directory is short and open enough for PostgreSQL's socket: set TMPDIR "
        f"(now {tempfile.gettempdir()}) to one that every user may enter"
    )


def _open_to_all(path: Path) -> bool:
    """Whether every user may pass through all the directories above `path`."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)


def _within_reach(programs: Path, directory: Path, account: pwd.struct_passwd | None) -> Path:
    """`programs`, or a copy in our own directory where the server's system user may run them."""
    if account is None or _open_to_all(programs / "postgres"):
        return programs
    # The wheel's libraries lie beside its package, and are found relative to the programs.
    root = programs.parents[1] if programs.parent.name == "pginstall" else programs.parent
    copies = directory / "programs"
    for source in (root, *root.parent.glob(f"{root.name}.libs")):
        shutil.copytree(source, copies / source.name, symlinks=True)
    for path in (copies, *copies.rglob("*")):
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
    return copies / programs.relative_to(root.parent)


def _spawn(
    command: Sequence[str | Path],
    directory: Path,
    account: pwd.struct_passwd | None,
    output: int,
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - a program the user chose
        command,
        cwd=directory,
        env=binaries.environment(),
        user=None if account is None else account.pw_uid,
        group=None if account is None else account.pw_gid,
        extra_groups=None if account is None else [],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        # Ctrl-C in a terminal is for the emulator, which then stops the server in good order.
        start_new_session=True,
    )
