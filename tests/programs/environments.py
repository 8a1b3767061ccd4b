"""An environment for each program, made by uv, which hard-links what its cache has.

uv has settings of its own; those that pip has been given are passed on to it, so that packages are
found wherever pip finds them.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from programs.metadata import Program

ROOT = Path(__file__).parents[2]
STATE = ROOT / ".programs"
"""Where environments and working directories are; not under version control."""

_LONGEST = 1200.0
_SHOWN = 3000

_FOR_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "constraint": "UV_CONSTRAINT",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "trusted-host": "UV_INSECURE_HOST",
}
_COMMAS = ("UV_FIND_LINKS",)


class InstallError(RuntimeError):
    """An environment could not be made, in the words of uv."""


@contextmanager
def alone(*, keep: bool) -> Iterator[None]:
    """Use `STATE` without another run, and remove what is of no use afterwards, unless `keep`.

    Raises:
        InstallError: Another run is under way.
    """
    STATE.mkdir(exist_ok=True)
    with (STATE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            raise InstallError(
                f"another run in {STATE} is under way: wait until it has ended, or use a checkout "
                "of its own"
            ) from taken
        try:
            yield
        finally:
            if not keep:
                for directory in ("environments", "work", "wheel", "library"):
                    shutil.rmtree(STATE / directory, ignore_errors=True)


def uv(*words: str | Path, text: str | None = None) -> str:
    """Run uv, and return what it prints on standard output.

    Raises:
        InstallError: It failed.
    """
    # Where pip has put it, or on the PATH.
    here = Path(sys.executable).with_name("uv")
    program = str(here) if here.exists() else shutil.which("uv")
    if program is None:
        raise InstallError("uv is not installed: pip install --group programs")
    try:
        done = subprocess.run(
            [program, *map(str, words)],
            env={**pip_settings(), **os.environ, "UV_NO_PROGRESS": "1", "VIRTUAL_ENV": ""},
            input=text,
            capture_output=True,
            text=True,
            timeout=_LONGEST,
            cwd=ROOT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InstallError(f"uv {words[0]}: no end after {_LONGEST:.0f} s") from None
    if done.returncode:
        raise InstallError(f"uv {words[0]}: {done.stderr.strip()[-_SHOWN:]}")
    return done.stdout


def build_wheel() -> Path:
    """Build the project's wheel from the checkout.

    Raises:
        InstallError: It could not be built.
    """
    directory = STATE / "wheel"
    shutil.rmtree(directory, ignore_errors=True)
    uv("build", "--wheel", "--quiet", "--out-dir", directory, ROOT)
    [wheel] = directory.glob("*.whl")
    return wheel


def resolve(program: Program, wheel: Path) -> str:
    """The versions that a program is installed in today, as pip's requirements.

    Raises:
        InstallError: There are none that go together, or no index answers.
    """
    wanted = "\n".join((*program.dependencies, f"sqlalchemy-rds-iam @ {wheel.as_uri()}"))
    options = ("--quiet", "--no-header", "--no-annotate", "--python", sys.executable)
    return uv("pip", "compile", *options, "-", text=wanted)


def fingerprint(program: Program, locked: str) -> str:
    """What a result holds for: the job, the package and all versions."""
    found = hashlib.sha256(program.path.read_bytes())
    for source in sorted((ROOT / "sqlalchemy_rds_iam").rglob("*.py")):
        found.update(source.read_bytes())
    versions = [line for line in locked.splitlines() if not line.startswith("sqlalchemy-rds-iam")]
    found.update("\n".join((sys.version, *versions)).encode())
    return found.hexdigest()


def make(program: Program, locked: str) -> Path:
    """Make the environment, and return its directory.

    Raises:
        InstallError: It could not be made.
    """
    directory = STATE / "environments" / program.name
    shutil.rmtree(directory, ignore_errors=True)
    uv("venv", "--quiet", "--python", sys.executable, directory)
    python = directory / "bin" / "python"
    uv("pip", "install", "--quiet", "--python", python, "--requirement", "-", text=locked)
    return directory


def remove(program: Program) -> None:
    """Remove the environment."""
    shutil.rmtree(STATE / "environments" / program.name, ignore_errors=True)


def megabytes(directory: Path) -> int:
    """The size of an environment's files, those included that are links into the cache."""
    size = sum(
        file.lstat().st_size
        for file in directory.rglob("*")
        if file.is_file() and not file.is_symlink()
    )
    return round(size / 1e6)


def installed(locked: str) -> dict[str, str]:
    """The versions of a lock by the names of their distributions."""
    pairs = (line.partition("==") for line in locked.splitlines() if "==" in line)
    return {name.partition("[")[0]: found.partition(" ")[0] for name, _, found in pairs}


def pip_settings() -> dict[str, str]:
    """What pip has been told about indexes, in the words of uv."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"],
        capture_output=True,
        text=True,
        timeout=_LONGEST,
        check=False,
    ).stdout
    found: dict[str, str] = {"UV_INDEX_STRATEGY": "unsafe-best-match"}  # as pip takes the newest
    # The environment is what counts most, then what is said for a command.
    for section in ("global.", "install.", ":env:."):
        for line in listed.splitlines():
            key, _, value = line.partition("=")
            name = _FOR_UV.get(key.removeprefix(section))
            if key.startswith(section) and name:
                separator = "," if name in _COMMAS else " "
                found[name] = separator.join(str(ast.literal_eval(value)).split())
    return found
