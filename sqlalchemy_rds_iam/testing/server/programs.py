"""Run a database's programs: as which system user, from where, and for no longer than so long."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy_rds_iam.testing.server import binaries

# Not on Windows, where no server is started, and this can still be imported.
if sys.platform != "win32":
    import pwd

# sun_path holds 104 bytes on the BSDs and macOS, 108 on Linux, the final zero included.
_LONGEST_SOCKET = 103


class Programs:
    """A database's programs, within reach of the system user that runs them for one server.

    PostgreSQL and MariaDB refuse to run as root, so root runs them as the system user
    ``postgres``, or ``nobody``.
    """

    def __init__(
        self,
        place: Path,
        directory: Path,
        deadline: float,
        environ: Mapping[str, str] | None = None,
        *,
        root: Path | None = None,
    ) -> None:
        """Have the programs of `place` run.

        Args:
            place: The directory that holds them.
            directory: Of `make_directory`; the programs run in there, and copies are made there.
            deadline: The most seconds that `run` may take.
            environ: Variables for the programs, beside those of every one.
            root: The directory that holds all they need, where that is one.
        """
        self._directory = directory
        self._deadline = deadline
        self._account = _account()
        self._environ = binaries.environment() | dict(environ or {})
        self._root = root or _root(place)
        self._copies = self._root.parent
        if self._account is not None and not _open_to_all(place / "program"):
            self._copies = _copied(self._root, directory / "programs", self._account)
        self.place = self.within(place)

    def within(self, path: Path) -> Path:
        """Where the server's system user finds `path`."""
        if not path.is_relative_to(self._root):
            return path
        return self._copies / path.relative_to(self._root.parent)

    def own(self, path: Path) -> None:
        """Give `path` to the server's system user."""
        if self._account is not None:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)

    @property
    def log(self) -> Path:
        """What the programs print."""
        return self._directory / "log"

    def run(self, program: str, *arguments: str | Path, said: str | None = None) -> None:
        """Run a program to its end.

        Args:
            program: Its name.
            arguments: What it is told.
            said: What it reads from its standard input.

        Raises:
            RuntimeError: It failed, or took too long; the message ends with its own last words.
        """
        process = self.spawn(program, *arguments, asked=said is not None)
        try:
            process.communicate(None if said is None else said.encode(), self._deadline)
            status = process.returncode
        except subprocess.TimeoutExpired:
            raise RuntimeError(
                f"{program} of {self.place} did not finish within {self._deadline:.0f} s"
            ) from None
        finally:
            process.kill()
            process.wait(self._deadline)
        if status != 0:
            raise RuntimeError(f"{program} of {self.place} failed:\n{self.last_words()}")

    def spawn(
        self, program: str, *arguments: str | Path, asked: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start a program, which writes to a new `log`; `asked` opens its standard input."""
        account = self._account
        command: Sequence[str | Path] = [self.place / program, *arguments]
        with self.log.open("wb") as log:
            return subprocess.Popen(  # noqa: S603 - a program the user chose
                command,
                cwd=self._directory,
                env=self._environ,
                user=None if account is None else account.pw_uid,
                group=None if account is None else account.pw_gid,
                extra_groups=None if account is None else [],
                stdin=subprocess.PIPE if asked else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in a terminal is for the emulator, which then stops the server in good
                # order.
                start_new_session=True,
            )

    def last_words(self) -> str:
        """The end of the log."""
        return self.log.read_text(errors="replace")[-2000:]


def make_directory(socket: str) -> Path:
    """Make a directory that the server's system user owns, and whose path leaves room for `socket`.

    Raises:
        RuntimeError: No temporary directory will do.
    """
    account = _account()
    for base in (Path(tempfile.gettempdir()).resolve(), Path("/tmp")):  # noqa: S108 - mkdtemp
        if account is not None and not _open_to_all(base / "x"):
            continue
        if len(os.fsencode(base / "rds-iam-xxxxxxxx" / socket)) > _LONGEST_SOCKET:
            continue
        directory = Path(tempfile.mkdtemp(prefix="rds-iam-", dir=base))
        if account is not None:
            os.chown(directory, account.pw_uid, account.pw_gid)
        return directory
    raise RuntimeError(
        f"no temporary directory is short and open enough for the server's socket: set TMPDIR "
        f"(now {tempfile.gettempdir()}) to one that every user may enter"
    )


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
        "a database server refuses to run as root and there is no user postgres or nobody to run "
        "it as: run as an ordinary user, or create one of these"
    )


def _open_to_all(path: Path) -> bool:
    """Whether every user may pass through all the directories above `path`."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)


def _root(programs: Path) -> Path:
    """What has to be copied for `programs` to run elsewhere."""
    return programs.parents[1] if programs.parent.name == "pginstall" else programs.parent


def _copied(root: Path, copies: Path, account: pwd.struct_passwd) -> Path:
    """A copy of `root` in our own directory, where the server's system user may run what is there.

    The libraries of a wheel lie beside its package, and are found relative to the programs.
    """
    for source in (root, *root.parent.glob(f"{root.name}.libs")):
        shutil.copytree(source, copies / source.name, symlinks=True)
    for path in (copies, *copies.rglob("*")):
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
    return copies
