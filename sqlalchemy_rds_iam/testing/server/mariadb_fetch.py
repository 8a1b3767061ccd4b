"""Fetch a MariaDB server with Debian's package manager, for this user alone and without root.

``apt-get download`` and ``dpkg-deb --extract`` need no rights, and apt verifies what it brings.
Nothing is installed: all of it lies in this user's cache, from where only the emulator starts it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy_rds_iam.testing.server import mariadb_programs

PACKAGE = "mariadb-server-core"

_NEEDED = ("apt-get", "apt-cache", "dpkg-deb", "dpkg-query")
_ONLY_DEPENDS = [
    f"--no-{kind}"
    for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
]
_UNKNOWN = re.compile("Unable to locate|has no installation candidate|No packages found")


def fetch(tell: Callable[[str], None], deadline: float = 600.0) -> mariadb_programs.Installation:
    """The server of this machine; where there is none, one that is fetched now.

    Args:
        tell: Called with a line for each step that takes time.
        deadline: The most seconds that all of it may take.

    Raises:
        RuntimeError: It is no Debian, or its package manager could not bring it; the message says
            what it said, and what to do.
    """
    try:
        return mariadb_programs.find()
    except RuntimeError:
        if os.environ.get(mariadb_programs.VARIABLE):
            raise
    missing = [program for program in _NEEDED if shutil.which(program) is None]
    if missing:
        raise RuntimeError(
            f"cannot fetch a MariaDB server: this system has no {missing[0]}, as Debian and Ubuntu "
            f"have; install mariadb-server, or set {mariadb_programs.VARIABLE} to the directory "
            f"that holds {mariadb_programs.PROGRAM}"
        )
    cache = mariadb_programs.cache()
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=cache) as directory:
        root = _unpacked(Path(directory), tell, time.monotonic() + deadline)
        # Whole, or not at all; of two that fetch at once the first one's stays.
        if not (cache / "root").exists():
            root.rename(cache / "root")
    return mariadb_programs.find()


def _unpacked(directory: Path, tell: Callable[[str], None], expires: float) -> Path:
    packages = [PACKAGE, *_libraries(expires)]
    tell(f"fetching {' '.join(packages)} with apt-get ...")
    # As root apt would download as the user _apt, who cannot write here.
    unboxed = ("-o", "APT::Sandbox::User=root") if os.geteuid() == 0 else ()
    _output("apt-get", "--quiet", *unboxed, "download", *packages, expires=expires, cwd=directory)
    files = sorted(directory.glob("*.deb"))
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    tell(f"unpacking {megabytes:.1f} MB into {directory.parent} ...")
    root = directory / "root"
    for file in files:
        _output("dpkg-deb", "--extract", str(file), str(root), expires=expires, cwd=directory)
    return root


def _libraries(expires: float) -> list[str]:
    """The packages that it depends on and that are not installed."""
    said = _output("apt-cache", "depends", *_ONLY_DEPENDS, PACKAGE, expires=expires)
    # "  Depends: libaio1", and "  Depends: <virtual>" for what others provide.
    wanted = re.findall(r"^ [ |]Depends: (lib[a-z0-9.+-]+)$", said, re.MULTILINE)
    status = "${Package} ${db:Status-Status}\n"
    have = _output("dpkg-query", "--show", f"--showformat={status}", expires=expires)
    installed = {line.split()[0] for line in have.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in installed]


def _output(*command: str, expires: float, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the system's package manager, names of ours
            command,
            cwd=cwd,
            env=os.environ | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=max(0.1, expires - time.monotonic()),
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(
            f"cannot fetch a MariaDB server: {command[0]} did not finish in time; is its package "
            "index reachable? Try again, or install mariadb-server-core"
        ) from None
    if done.returncode != 0 or (not done.stdout and "depends" in command):
        said = (done.stderr or done.stdout).strip()
        advice = "run apt-get update as root first" if _UNKNOWN.search(said) else "see above"
        if not said:
            advice = "run apt-get update as root first"
        raise RuntimeError(
            f"cannot fetch a MariaDB server: {' '.join(command[:2])} failed ({advice}, or install "
            f"mariadb-server-core):\n{said[-1000:]}"
        )
    return done.stdout


def _main() -> None:
    try:
        fetch(print)
    except RuntimeError as failed:
        sys.exit(str(failed))


if __name__ == "__main__":
    _main()
