"""MariaDB starts from the machine, or from what was fetched, and ends with who started it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pymysql
import pytest
from mysql_support import arguments
from patience import DEADLINE, eventually, running
from test_emulator_postgres import alive

from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.server import mariadb_fetch, mariadb_programs, programs
from sqlalchemy_rds_iam.testing.server.mariadb import MariaDb

pytestmark = pytest.mark.server

ORPHAN = """
import time
from sqlalchemy_rds_iam.testing.server.mariadb import MariaDb
server = MariaDb()
server.start()
print(server._server.pid, server._directory, flush=True)
time.sleep(60)
"""


def _found() -> mariadb_programs.Installation:
    try:
        return mariadb_programs.find()
    except RuntimeError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def installation() -> mariadb_programs.Installation:
    """The MariaDB of this machine, or of this user's cache."""
    return _found()


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without MariaDB: programs are in this directory, and the cache as well."""
    monkeypatch.setattr(mariadb_programs, "_PLACES", (str(tmp_path / "sbin"),))
    monkeypatch.setattr(mariadb_programs, "cache", lambda: tmp_path / "cache")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    return tmp_path


@pytest.mark.usefixtures("installation")
def test_it_leaves_nothing() -> None:
    """After the end there is neither a process nor a file."""
    with RdsEmulator(engine="mysql", users=("app", "other")) as rds:
        for user in ("app", "other"):
            pymysql.connect(**arguments(rds, user=user, database=user)).close()
        directory, server = rds._own_server._directory, rds._own_server._server  # type: ignore[attr-defined]
        assert alive(server.pid)
        assert directory.stat().st_mode & 0o077 == 0
    assert not directory.exists()
    assert not alive(server.pid)


@pytest.mark.usefixtures("installation")
def test_the_server_dies_with_a_parent_that_is_killed() -> None:
    """SIGKILL of the process that started it ends the server and removes its files."""
    with running([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid, directory = parent.stdout.readline().decode().split()
        eventually((Path(directory) / "pid").exists)
        parent.send_signal(signal.SIGKILL)
        parent.wait(DEADLINE)
    eventually(lambda: not alive(int(pid)))
    eventually(lambda: not Path(directory).exists())


@pytest.mark.usefixtures("installation")
def test_it_may_be_started_again() -> None:
    """One object, several lives in a row."""
    rds = RdsEmulator(engine="mysql")
    with pytest.raises(RuntimeError, match="not running"):
        rds.execute("SELECT 1")
    for _ in range(2):
        with rds:
            assert rds.execute("SELECT 1; SELECT 2") == [("2",)]


@pytest.mark.usefixtures("installation")
def test_a_server_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error holds MariaDB's own words, and nothing stays."""
    server = MariaDb()
    server._settings += ("--no-such-setting",)
    with pytest.raises(RuntimeError, match="no-such-setting"):
        server.start()
    assert server._directory is None
    server.stop()


def test_a_directory_of_its_own(
    installation: mariadb_programs.Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable and the argument name the directory of the program; others hold none."""
    directory = str(installation.programs)
    assert mariadb_programs.find(directory).programs == installation.programs
    monkeypatch.setenv(mariadb_programs.VARIABLE, "/nonexistent")
    assert mariadb_programs.find(directory).programs == installation.programs
    with pytest.raises(RuntimeError, match="no MariaDB server found in '/nonexistent'"):
        mariadb_programs.find()
    with pytest.raises(RuntimeError, match="RDS_IAM_EMULATOR_MARIADB"):
        RdsEmulator(engine="mysql").start()


@pytest.mark.usefixtures("bare")
def test_without_any() -> None:
    """The error says what to install, what to set and how to fetch one; nothing is downloaded."""
    with pytest.raises(RuntimeError) as caught:
        RdsEmulator(engine="mysql").start()
    for word in ("mariadb-server-core", "RDS_IAM_EMULATOR_MARIADB", "--fetch"):
        assert word in str(caught.value)


def test_no_debian(bare: Path) -> None:
    """Where there is no apt-get nothing can be fetched, and the error says so."""
    with pytest.raises(RuntimeError, match="this system has no apt-get"):
        mariadb_fetch.fetch(print)


APT_GET = """#!/bin/sh
case "$*" in
  *download*) for name in "$@"; do last=$name; echo "$name" >>"$0.log"; done
    touch "mariadb-server-core_1_all.deb" "libaio1_1_all.deb";;
esac
"""
APT_CACHE = """#!/bin/sh
printf 'mariadb-server-core\\n  Depends: libaio1\\n |Depends: libgone\\n  Depends: <libx>\\n'
printf '  Depends: perl\\n  Depends: libc6\\n'
"""
DPKG_QUERY = "#!/bin/sh\nprintf 'libc6 installed\\nlibgone deinstall\\n'\n"


@pytest.fixture
def debian(installation: mariadb_programs.Installation, bare: Path) -> Callable[[str, str], None]:
    """A Debian whose package manager brings the MariaDB of this machine; replaces its programs."""

    def program(name: str, text: str) -> None:
        file = bare / "bin" / name
        file.write_text(text)
        file.chmod(0o755)

    (bare / "bin").mkdir()
    for name in ("sh", "touch", "printf", "mkdir", "cp", "ln", "cat"):
        (bare / "bin" / name).symlink_to(shutil.which(name, path=os.defpath) or name)
    program("apt-get", APT_GET)
    program("apt-cache", APT_CACHE)
    program("dpkg-query", DPKG_QUERY)
    # Both packages are unpacked into one root.
    program(
        "dpkg-deb",
        f"#!/bin/sh\nmkdir -p $3/usr/sbin $3/usr/share $3/usr/lib/x\n"
        f"cp {installation.programs / mariadb_programs.PROGRAM} $3/usr/sbin\n"
        f"cp -R {installation.share} $3/usr/share/mysql\ntouch $3/usr/lib/x/libx.so.1\n",
    )
    return program


@pytest.mark.usefixtures("debian")
def test_fetched(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server and the libraries that are missing come into the cache, once, and it starts."""
    said: list[str] = []
    found = mariadb_fetch.fetch(said.append)
    assert found.root == bare / "cache/root"
    assert found.libraries == str(bare / "cache/root/usr/lib/x")
    assert said[0] == "fetching mariadb-server-core libaio1 libgone with apt-get ..."
    assert "unpacking" in said[1]
    assert [path.name for path in (bare / "cache").iterdir()] == ["root"]
    assert mariadb_fetch.fetch(pytest.fail) == found
    # Out of reach of the system user that runs it, where root starts it.
    monkeypatch.setattr(programs, "_open_to_all", lambda path: "cache" not in str(path))
    with RdsEmulator(engine="mysql") as rds:
        pymysql.connect(**arguments(rds)).close()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("apt-cache", "echo 'E: No packages found' >&2; exit 100", "apt-get update"),
        ("apt-cache", "exit 0", "apt-get update"),
        ("apt-get", "echo 'E: Failed to fetch: 404' >&2; exit 100", "Failed to fetch: 404"),
        ("apt-get", "while :; do :; done", "did not finish in time"),
        ("dpkg-deb", "echo 'no space left' >&2; exit 2", "no space left"),
    ],
)
def test_a_fetch_that_fails(
    debian: Callable[[str, str], None], bare: Path, name: str, text: str, says: str
) -> None:
    """The error has the package manager's words, and what to do; nothing stays in the cache."""
    debian(name, f"#!/bin/sh\n{text}\n")
    with pytest.raises(RuntimeError, match="cannot fetch a MariaDB server") as caught:
        mariadb_fetch.fetch(lambda _: None, 1.0 if "while" in text else DEADLINE)
    assert says in str(caught.value)
    assert list((bare / "cache").iterdir()) == []


@pytest.mark.soak
def test_really_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the package manager of this machine brings starts."""
    if shutil.which("apt-get") is None:
        pytest.skip("no apt-get")
    monkeypatch.setattr(mariadb_programs, "_on_this_machine", lambda: None)
    monkeypatch.setattr(mariadb_programs, "cache", lambda: tmp_path)
    found = mariadb_fetch.fetch(print)
    assert found.root == tmp_path / "root"
    with RdsEmulator(engine="mysql") as rds:
        pymysql.connect(**arguments(rds)).close()
