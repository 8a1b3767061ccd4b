"""An environment of its own for each peer, as several own the same import name or plugin name.

It is made once, below this user's cache directory, and made anew when what it holds, or the Python
that it is made of, has changed. Peers are pinned by ``requirements/NAME.txt``; what this project's
own environment has as well, such as SQLAlchemy and the drivers, is installed in its version unless
that file says otherwise: only the peer is to differ.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from benchmarks.lib.command_process import Python
from sqlalchemy_rds_iam._tls.private_files import CACHE, cache_home

REQUIREMENTS = Path(__file__).parent / "requirements"
BENCHMARKS = Path(__file__).parents[1]

_SHARED = (
    *("SQLAlchemy", "greenlet", "psycopg", "psycopg-binary", "psycopg2-binary", "asyncpg"),
    "mysql-connector-python",
)
_PINNED = re.compile(r"^([\w.-]+)(?:\[[\w,]+\])?==(\S+)", re.MULTILINE)
_LONGEST = 300.0


class Environment(NamedTuple):
    """Where a peer is installed.

    Attributes:
        executable: its Python; None where it could not be installed.
        versions: of the packages that it is pinned to.
        reason: why it could not be installed, in the installer's words.
    """

    executable: Path | None
    versions: Mapping[str, str]
    reason: str = ""


def names() -> list[str]:
    """The environments that there are."""
    return sorted(file.stem for file in REQUIREMENTS.glob("*.txt"))


def versions(name: str) -> dict[str, str]:
    """What an environment's file pins."""
    return dict(_PINNED.findall(_text(name)))


def make_all(wanted: Iterable[str], tell: Callable[[str], None]) -> dict[str, Environment]:
    """Make the environments that are not there yet.

    Args:
        wanted: names of them.
        tell: called with a line for what takes time.
    """
    return {name: _make(name, tell) for name in wanted}


@contextmanager
def importable(environment: Environment) -> Iterator[Python]:
    """Its Python, which imports the benchmarks and nothing else of this checkout meanwhile.

    The checkout itself must not be where it imports from: a peer has the same import name.
    """
    assert environment.executable is not None, environment.reason
    with tempfile.TemporaryDirectory(prefix="peer-") as directory:
        Path(directory, BENCHMARKS.name).symlink_to(BENCHMARKS, target_is_directory=True)
        yield Python(str(environment.executable), Path(directory))


def directory_of(name: str, home: Path) -> Path:
    """Where the environment is, below the user's cache directory; its name says what it holds."""
    held = "\n".join((sys.version, _text(name), *constraints(name), *_checkout(name)))
    return home / CACHE / "peers" / f"{name}-{hashlib.sha256(held.encode()).hexdigest()[:12]}"


def _make(name: str, tell: Callable[[str], None]) -> Environment:
    pinned, home = versions(name), cache_home()
    if home is None:
        return Environment(None, pinned, "there is no home directory: set XDG_CACHE_HOME")
    place = directory_of(name, home)
    if not place.exists():
        tell(f"installing {name} into {place} ...")
        try:
            _install(name, place)
        except (OSError, subprocess.SubprocessError) as error:
            return Environment(None, pinned, _words(error))
    return Environment(place / "bin" / "python", pinned)


def _install(name: str, place: Path) -> None:
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="making-", dir=place.parent) as directory:
        made = Path(directory, "environment")
        listed = Path(directory, "constraints.txt")
        listed.write_text("\n".join((*constraints(name), "")), encoding="utf-8")
        _run(sys.executable, "-m", "venv", "--without-pip", str(made))
        _run(
            *(sys.executable, "-m", "pip", "--python", str(made / "bin" / "python"), "install"),
            *("--disable-pip-version-check", "--quiet", "--no-input"),
            *("--requirement", str(_file(name)), "--constraint", str(listed)),
        )
        # Whole, or not at all; of two that install at once the first one's stays.
        if not place.exists():
            shutil.move(made, place)


def _run(*command: str) -> None:
    subprocess.run(
        command,
        cwd=BENCHMARKS.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LONGEST,
        check=True,
    )


def _words(error: Exception) -> str:
    """Why an installation failed, in one line."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"the installation has no end after {error.timeout:g} s"
    if isinstance(error, subprocess.CalledProcessError):
        lines = [line for line in (error.stderr or error.stdout or "").splitlines() if line.strip()]
        told = [line for line in lines if line.startswith("ERROR")] or lines
        return told[0] if told else f"the installation ended with exit code {error.returncode}"
    return str(error)


def constraints(name: str) -> list[str]:
    """What an environment shares with this one, in this one's versions."""
    pinned = {package.lower() for package in versions(name)}
    return [
        f"{package}=={found}"
        for package in _SHARED
        if package.lower() not in pinned and (found := _version(package)) is not None
    ]


def _checkout(name: str) -> list[str]:
    """What an environment of this checkout depends on besides: its place, and what it declares."""
    if not re.search("^--editable", _text(name), re.MULTILINE):
        return []
    root = BENCHMARKS.parent
    return [str(root), (root / "pyproject.toml").read_text(encoding="utf-8")]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _text(name: str) -> str:
    return _file(name).read_text(encoding="utf-8")


def _file(name: str) -> Path:
    return REQUIREMENTS / f"{name}.txt"
