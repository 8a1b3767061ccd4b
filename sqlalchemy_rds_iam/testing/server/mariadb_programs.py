"""Find MariaDB's server: that of the machine, or one that was fetched into this user's cache."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

# As in programs.py.
if sys.platform != "win32":
    import pwd

VARIABLE = "RDS_IAM_EMULATOR_MARIADB"
PROGRAM = "mariadbd"

# Debian and Red Hat; Homebrew on both processors; plain builds.
_PLACES = (
    "/usr/sbin",
    "/usr/libexec",
    "/opt/homebrew/opt/mariadb*/bin",
    "/usr/local/opt/mariadb*/bin",
    "/usr/local/mysql/bin",
)
_TABLES = (
    "mysql_system_tables.sql",
    "mysql_performance_tables.sql",
    "mysql_system_tables_data.sql",
)
# MariaDB 11 has renamed them all.
_NAMES = (("mysql", "mysql"), ("mariadb", "mysql"), ("mariadb", "mariadb"))


@dataclass(frozen=True)
class Installation:
    """A MariaDB server as it lies there.

    Attributes:
        programs: The directory of ``mariadbd``.
        share: That of its messages, character sets and the definitions of the system tables.
        root: The directory that holds all of it and its libraries, None where it is installed.
    """

    programs: Path
    share: Path
    root: Path | None = None

    @property
    def tables(self) -> list[Path]:
        """The files that define the system tables, in order."""
        for prefix in ("mysql", "mariadb"):
            files = [self.share / name.replace("mysql", prefix, 1) for name in _TABLES]
            if all(file.is_file() for file in files):
                return files
        raise FileNotFoundError(self.share)

    @property
    def libraries(self) -> str:
        """The directories of its own libraries, as for ``LD_LIBRARY_PATH``."""
        if self.root is None:
            return ""
        # As "usr/lib/x86_64-linux-gnu", with or without "usr".
        found = (
            path.parent
            for place in ("lib", "usr/lib")
            for path in self.root.glob(f"{place}/*/*.so*")
        )
        return ":".join(sorted(set(map(str, found))))


def find(choice: str | None = None) -> Installation:
    """A server to start.

    Args:
        choice: The directory of ``mariadbd``. None reads `VARIABLE`, without which the machine is
            looked through, and then the cache.

    Raises:
        RuntimeError: Nothing was found there; the message says what to install or set.
    """
    choice = choice or os.environ.get(VARIABLE)
    found = _installation(Path(choice)) if choice else _on_this_machine() or _fetched()
    if found is None:
        where = f"in {choice!r}" if choice else "on this machine"
        raise RuntimeError(
            f"no MariaDB server found {where}: install one (Debian, Ubuntu: mariadb-server-core; "
            f"others: mariadb-server), or set {VARIABLE} to the directory that holds {PROGRAM}; "
            "on Debian and Ubuntu one can be fetched for this user alone: "
            "rds-iam emulator --engine mysql --fetch"
        )
    return found


def cache() -> Path:
    """Where a server that was fetched is kept: a directory of this user."""
    # Whatever HOME and XDG_CACHE_HOME say, which tests, and sudo, set for the same user.
    try:
        home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:  # a number that no user has, as in containers
        home = Path.home()
    return home / ".cache" / "sqlalchemy-rds-iam" / "mariadb"


def _on_this_machine() -> Installation | None:
    candidates = [path for place in _PLACES for path in Path("/").glob(place.lstrip("/"))]
    on_path = shutil.which(PROGRAM)
    if on_path is not None:
        candidates = [Path(on_path).parent, Path(on_path).resolve().parent, *candidates]
    return next(filter(None, map(_installation, candidates)), None)


def _fetched() -> Installation | None:
    root = cache() / "root"
    found = _installation(root / "usr/sbin")
    return found and Installation(found.programs, found.share, root)


def _installation(programs: Path) -> Installation | None:
    if not os.access(programs / PROGRAM, os.X_OK):
        return None
    for base in (programs.parent, programs.resolve().parent, programs.parent / "..", Path("/usr")):
        for name, prefix in _NAMES:
            share = base / "share" / name
            if (share / _TABLES[0].replace("mysql", prefix, 1)).is_file():
                return Installation(programs, share)
    return None
