"""Run PostgreSQL's programs: as which system user, from where, and for no longer than so long."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy_rds_iam.testing.server import binaries

# sun_path holds 104 bytes on the BSDs and macOS, 108 on Linux, the final zero included.
_LONGEST_SOCKET = 103


class Programs:
    """PostgreSQL's programs, within reach of the system user that runs them for one server.

    PostgreSQL refuses to run as root, so root runs it as the system user ``postgres`` or
    ``nobody``.
    """

    def __init__(
        self, choice: str | None, more: Sequence[str], directory: Path, deadline: float
    ) -> None:
        """Find the programs.

        Args:
            choice: See `binaries.find`, as for the next one.
            more: Programs that are needed beside the server's.
            directory: Of `make_directory`; the programs run in there, and copies are made there.
            deadline: The most seconds that `run` may take.

        Raises:
            RuntimeError: None were found.
        """
        self._directory = directory
        self._deadline = deadline
        self._account = _account()
        self.place = _within_reach(binaries.find(choice, *more), directory, self._account)

    @property
    def log(self) -> Path:
        """What the programs print."""
        return self._directory / "log"

    def run(self, program: str, *arguments: str | Path) -> None:
        """Run a program to its end.

        Raises:
            RuntimeError: It failed, or took too long; the message ends with its own last words.
        """
        process = self.spawn(program, *arguments)
        try:
            status = process.wait(self._deadline)
        except subprocess.TimeoutExpired:
            raise RuntimeError(
                f"{program} of {self.place} did not finish within {self._deadline:.0f} s"
            ) from None
        finally:
            process.kill()
            process.wait(self._deadline)
        if status != 0:
            raise RuntimeError(f"{program} of {self.place} failed:\n{self.last_words()}")

    def spawn(self, program: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Start a program, which writes to a new `log`."""
        account = self._account
        command: Sequence[str | Path] = [self.place / program, *arguments]
        with self.log.open("wb") as log:
            return subprocess.Popen(  # noqa: S603 - a program the user chose
                command,
                cwd=self._directory,
                env=binaries.environment(),
                user=None if account is None else account.pw_uid,
                group=None if account is None else account.pw_gid,
                extra_groups=None if account is None else [],
                stdin=subprocess.DEVNULL,
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
        f"no temporary directory is short and open enough for PostgreSQL's socket: set TMPDIR "
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
        "PostgreSQL refuses to run as root and there is no user postgres or nobody to run it as: "
        "run as an ordinary user, or create one of these"
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
