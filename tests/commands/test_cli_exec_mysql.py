"""`rds-iam exec` with the clients of MySQL and MariaDB: by token, verified, whatever is around."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from cli_support import (
    CLIENT_LOGINS,
    MODES,
    WITHHELD,
    clients_url,
    needs_clients,
    python,
    ran,
    shown,
)

from sqlalchemy_rds_iam._tools.mysql_programs import _ASIDE
from sqlalchemy_rds_iam.testing import RdsEmulator

pytestmark = [pytest.mark.server, needs_clients]
WHO = "select concat(substring_index(current_user(), '@', 1), '@', database())"


@MODES
def test_client(mysql: RdsEmulator, mysql_url: str, mode: tuple[str, ...]) -> None:
    """It logs in by token, within TLS, as the user and in the database of the URL."""
    found = ran("exec", mysql_url, *mode, "--", "mariadb", "-NBe", WHO)
    assert (found.code, found.out) == (0, "app@app\n")
    assert found.err.endswith(WITHHELD.format("mariadb"))
    [login] = mysql.decisions
    assert (login.granted, login.in_clear) == (True, False)
    failed = ran("exec", mysql_url, *mode, "--", "mariadb", "-e", "select no_such_column")
    assert failed.code == 1
    assert "no_such_column" in failed.err


@pytest.mark.parametrize(
    "drivername", ["mysql", "mariadb", "mysql+asyncmy", "mysql+mysqldb", "mariadb+mariadbconnector"]
)
def test_any_driver(mysql: RdsEmulator, drivername: str) -> None:
    """Whatever driver the URL names, or none, it is all the same to the client."""
    found = ran("exec", clients_url(mysql, drivername), "--", shutil.which("mariadb"), "-NBe", WHO)
    assert (found.code, found.out) == (0, "app@app\n")


def test_dump(mysql: RdsEmulator, mysql_url: str) -> None:
    """mariadb-dump dumps."""
    mysql.execute("create table dumped (a int)", "app")
    try:
        found = ran("exec", mysql_url, "--", "mariadb-dump", "--no-data", "app", "dumped")
    finally:
        mysql.execute("drop table dumped", "app")
    assert found.code == 0
    assert "CREATE TABLE `dumped`" in found.out


def test_script(mysql_url: str) -> None:
    """Where the client is not what is run, it finds the file by the environment."""
    found = ran("exec", mysql_url, "--", "sh", "-c", f'mariadb -NBe "{WHO}"; mariadb-admin ping')
    assert (found.code, found.out) == (0, "app@app\nmysqld is alive\n")
    assert "wins over the URL" not in found.err


SHOW = """#!/bin/sh
[ "$1" = --no-defaults ] && echo "$0  Ver 8.0.39 {version}" && exit
exec {python} - "$@" <<'END'
import json, os, pathlib, stat, sys
file = pathlib.Path(sys.argv[1].partition("=")[2] or os.environ["MYSQL_HOME"] + "/my.cnf")
print(json.dumps({{
    "arguments": sys.argv[1:], "file": str(file), "text": file.read_text(),
    "modes": [stat.S_IMODE(each.stat().st_mode) for each in (file, file.parent)],
    "environ": {{k: v for k, v in os.environ.items() if k[:5] in {{"MYSQL", "MARIA", "LIBMY"}}}},
}}))
END
"""


def _program(directory: Path, name: str, version: str) -> Path:
    """A program that shows what it is told, and calls itself of this version."""
    file = directory / name
    file.write_text(SHOW.format(version=version, python=sys.executable))
    file.chmod(0o700)
    return file


SLEEPS = "#!/bin/sh\nexec sleep 600"
MARIADB, ORACLE = "10.11.19-MariaDB", "(MySQL Community Server - GPL)"


@pytest.mark.parametrize(
    ("name", "version", "mode"),
    [
        ("mariadb-import", MARIADB, ()),
        ("mysqlshow", MARIADB, ("--retry", "1")),
        ("mysql", ORACLE, ()),
        ("mysqldump", ORACLE, ("--retry", "1")),
    ],
)
def test_what_a_client_is_told(
    mysql: RdsEmulator,
    mysql_url: str,
    mode: tuple[str, ...],
    name: str,
    version: str,
    tmp_path: Path,
) -> None:
    """A private file without the token comes first, in the words of its vendor, and is removed."""
    program = _program(tmp_path, name, version)
    mine = dict.fromkeys(_ASIDE, "mine") | {"MYSQL_PS1": "mine", "LIBMYSQL_PLUGINS": ""}
    found = ran("exec", mysql_url, *mode, "--", program, "-v", "app", **mine)
    told = json.loads(found.out)
    assert told["arguments"] == [f"--defaults-file={told['file']}", "-v", "app"]
    assert told["modes"] == [0o600, 0o700]
    assert not Path(told["file"]).parent.exists()
    environ = told["environ"]
    token = environ.pop("MYSQL_PWD")
    assert token.startswith("127.0.0.2:3306/?Action=connect")
    assert "Action" not in told["text"]
    host, port = mysql.gateway.addresses[-1]
    assert environ == {
        "MYSQL_HOST": host,
        "MYSQL_TCP_PORT": str(port),
        "MYSQL_TEST_LOGIN_FILE": str(Path(told["file"]).with_name("mylogin.cnf")),
        "MYSQL_PS1": "mine",
    }
    assert f"set aside for what the URL says: {', '.join(sorted(_ASIDE))}" in found.err
    client, *others = told["text"].split("[")[1:]
    theirs = ["ssl-mode=VERIFY_IDENTITY", "enable-cleartext-plugin"] if version == ORACLE else []
    assert client.splitlines() == [
        "client]",
        f"host={host}",
        f"port={port}",
        "user=app",
        f"ssl-ca={mysql.ca_file}",
        *theirs,
    ]
    assert "client-mariadb]\nssl-verify-server-cert\n" in others
    assert "mysql]\nconnect-timeout=30\ndatabase=app\n" in others


@pytest.mark.parametrize(
    ("client", "version"), [("mariadb", MARIADB), ("mysql", MARIADB), ("mysql", ORACLE), (None, "")]
)
def test_what_a_script_is_told(
    mysql_url: str,
    client: str | None,
    version: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the words of the clients that it finds on the PATH; without one, of both vendors."""
    script = _program(tmp_path, "backup", "")
    if client is not None:
        _program(tmp_path, client, version)
    for each in ("sh", "echo"):
        (tmp_path / each).symlink_to(shutil.which(each) or "")
    told = json.loads(ran("exec", mysql_url, "--", script, "-h", "x", PATH=str(tmp_path)).out)
    assert told["arguments"] == ["-h", "x"]
    assert Path(told["file"]).parent == Path(told["environ"]["MYSQL_HOME"])
    assert ("ssl-mode=VERIFY_IDENTITY" in told["text"]) == (version != MARIADB)


@pytest.mark.parametrize("answer", ["#!/bin/sh\nexit 3", "#!/bin/sh\necho x", "\0", SLEEPS])
def test_a_client_of_no_vendor(
    mysql_url: str, answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not say whose words it knows is not run: TLS might not be verified."""
    monkeypatch.setattr("sqlalchemy_rds_iam._tools.mysql_programs._TIME_FOR_ITS_VERSION", 0.5)
    program = tmp_path / "mysql"
    program.write_text(answer)
    program.chmod(0o700)
    found = shown("exec", mysql_url, "--", program)
    assert (found.code, found.out) == (2, "")
    assert "expected a version of MySQL or MariaDB" in found.err


def test_option_files_of_the_user(mysql: RdsEmulator, mysql_url: str) -> None:
    """None has a say with a client."""
    home = Path.home()
    (home / ".my.cnf").write_text(
        "[client]\nuser=ro\npassword=foo\nhost=127.0.0.1\nport=1\nskip-ssl\n[mysql]\nno-such-word\n"
    )
    found = ran("exec", mysql_url, "--", "mariadb", "-NBe", WHO)
    assert (found.code, found.out) == (0, "app@app\n")
    assert ".my.cnf" not in found.err
    assert len(mysql.decisions) == 1


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("user = ro", 0, "user in {}/.my.cnf wins over the URL"),
        ("password=foo", 0, "password in {}"),
        ("ssl-ca=mine.pem", 0, "ssl-ca in {}"),
        ("!include mine.cnf", 0, "!include in {}"),
        ("prompt=mine", 0, ""),
        ("  skip-ssl", 2, "'skip-ssl' in {}/.my.cnf wins over the URL with programs that are not"),
        ("disable_ssl_verify_server_cert", 2, "'disable_ssl_verify_server_cert' in {}"),
        ("ssl = 0", 2, "'ssl = 0' in {}"),
        ("ssl-verify-server-cert=OFF", 2, "in {}"),
        ("ssl-mode=required", 2, "'ssl-mode=required' in {}"),
        ("ssl-mode=VERIFY_IDENTITY", 0, "ssl-mode in {}"),
    ],
)
def test_option_file_that_a_script_finds(mysql_url: str, line: str, code: int, said: str) -> None:
    """What it says of the connection wins: the user is told so, and of weaker TLS it ends."""
    (Path.home() / ".my.cnf").write_text(f"[client]\n{line}\n")
    found = shown("exec", mysql_url, "--", "true")
    assert found.code == code
    assert said.format(Path.home()) in found.err
    assert bool(said) == ("wins over" in found.err)


@pytest.mark.parametrize("client", CLIENT_LOGINS)
def test_retry(mysql: RdsEmulator, mysql_url: str, client: str) -> None:
    """A refused login is known by the words of each client, and followed by another token."""
    mysql.gateway.refuse_next = 1
    found = ran("exec", mysql_url, "--retry", "2", "--", client, *CLIENT_LOGINS[client])
    assert found.code == 0, found.err
    assert "the login was refused; " in found.err
    assert [each.granted for each in mysql.decisions] == [False, True]


def test_no_retry_of_anything_else(mysql_url: str) -> None:
    """A database that the user may not enter, or that there is not, is no refused login."""
    for database in ("mysql", "no_such_database"):
        found = ran("exec", mysql_url, "--retry", "2", "--", "mariadb-dump", database)
        assert found.code != 0
        assert "is run again" not in found.err


def test_no_python_driver_needed(mysql: RdsEmulator, mysql_url: str) -> None:
    """What is no client of theirs has the URL where it was, and the token."""
    code = "import os; print(os.environ['DATABASE_URL'], os.environ['MYSQL_PWD'][:14])"
    found = ran("exec", *python(code), DATABASE_URL=mysql_url)
    assert (found.code, found.out) == (0, f"{mysql_url} 127.0.0.2:3306\n")
