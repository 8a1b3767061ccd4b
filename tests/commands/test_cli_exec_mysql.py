"""`rds-iam exec` with the clients of MySQL and MariaDB: by token, verified, whatever is around."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_support import MODES, WITHHELD, clients_url, python, ran, shown
from odd_servers import ODD, odd_server
from patience import DEADLINE
from wiretap import Wiretap, in_clear, leaked

from sqlalchemy_rds_iam._tools.mysql_programs import _ASIDE
from sqlalchemy_rds_iam.testing import RdsEmulator

CLIENTS = ("mariadb", "mariadb-dump", "mariadb-admin")
pytestmark = [
    pytest.mark.parametrize("world", ["mysqldb"], indirect=True),
    pytest.mark.skipif(
        not all(map(shutil.which, CLIENTS)), reason=f"there are no {', '.join(CLIENTS)}"
    ),
]

WHO = "select concat(substring_index(current_user(), '@', 1), '@', database())"
LOGIN = {
    "mariadb": ("-NBe", "select 1"),
    "mariadb-dump": ("app",),
    "mariadb-admin": ("status",),
}


@pytest.fixture
def rds(rds: RdsEmulator, world: Any) -> RdsEmulator:
    """The emulator of MySQL."""
    del world
    return rds


@pytest.fixture
def url(rds: RdsEmulator) -> str:
    """Of an address that is in the certificate, as these clients verify what they dial."""
    return clients_url(rds)


@MODES
def test_client(rds: RdsEmulator, url: str, mode: tuple[str, ...]) -> None:
    """It logs in by token, within TLS, as the user and in the database of the URL."""
    found = ran("exec", url, *mode, "--", "mariadb", "-NBe", WHO)
    assert (found.code, found.out) == (0, "app@app\n")
    assert found.err.endswith(WITHHELD.format("mariadb"))
    [login] = rds.decisions
    assert (login.granted, login.in_clear) == (True, False)
    failed = ran("exec", url, *mode, "--", "mariadb", "-e", "select no_such_column")
    assert failed.code == 1
    assert "no_such_column" in failed.err


@pytest.mark.parametrize(
    "drivername", ["mysql", "mariadb", "mysql+asyncmy", "mysql+mysqldb", "mariadb+mariadbconnector"]
)
def test_any_driver(rds: RdsEmulator, drivername: str) -> None:
    """Whatever driver the URL names, or none, it is all the same to the client."""
    found = ran("exec", clients_url(rds, drivername), "--", shutil.which("mariadb"), "-NBe", WHO)
    assert (found.code, found.out) == (0, "app@app\n")


def test_dump(rds: RdsEmulator, url: str) -> None:
    """mariadb-dump dumps."""
    rds.execute("create table dumped (a int)", "app")
    try:
        found = ran("exec", url, "--", "mariadb-dump", "--no-data", "app", "dumped")
    finally:
        rds.execute("drop table dumped", "app")
    assert found.code == 0
    assert "CREATE TABLE `dumped`" in found.out


def test_script(url: str) -> None:
    """Where the client is not what is run, it finds the file by the environment."""
    found = ran("exec", url, "--", "sh", "-c", f'mariadb -NBe "{WHO}"; mariadb-admin ping')
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
    rds: RdsEmulator, url: str, mode: tuple[str, ...], name: str, version: str, tmp_path: Path
) -> None:
    """A private file without the token comes first, in the words of its vendor, and is removed."""
    program = _program(tmp_path, name, version)
    mine = dict.fromkeys(_ASIDE, "mine") | {"MYSQL_PS1": "mine", "LIBMYSQL_PLUGINS": ""}
    found = ran("exec", url, *mode, "--", program, "-v", "app", **mine)
    told = json.loads(found.out)
    assert told["arguments"] == [f"--defaults-file={told['file']}", "-v", "app"]
    assert told["modes"] == [0o600, 0o700]
    assert not Path(told["file"]).parent.exists()
    environ = told["environ"]
    token = environ.pop("MYSQL_PWD")
    assert token.startswith("127.0.0.2:3306/?Action=connect")
    assert "Action" not in told["text"]
    host, port = rds.gateway.addresses[-1]
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
        f"ssl-ca={rds.ca_file}",
        *theirs,
    ]
    assert "client-mariadb]\nssl-verify-server-cert\n" in others
    assert "mysql]\nconnect-timeout=30\ndatabase=app\n" in others


@pytest.mark.parametrize(
    ("client", "version"), [("mariadb", MARIADB), ("mysql", MARIADB), ("mysql", ORACLE), (None, "")]
)
def test_what_a_script_is_told(
    url: str, client: str | None, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the words of the clients that it finds on the PATH; without one, of both vendors."""
    script = _program(tmp_path, "backup", "")
    if client is not None:
        _program(tmp_path, client, version)
    for each in ("sh", "echo"):
        (tmp_path / each).symlink_to(shutil.which(each) or "")
    told = json.loads(ran("exec", url, "--", script, "-h", "x", PATH=str(tmp_path)).out)
    assert told["arguments"] == ["-h", "x"]
    assert Path(told["file"]).parent == Path(told["environ"]["MYSQL_HOME"])
    assert ("ssl-mode=VERIFY_IDENTITY" in told["text"]) == (version != MARIADB)


@pytest.mark.parametrize("answer", ["#!/bin/sh\nexit 3", "#!/bin/sh\necho x", "\0", SLEEPS])
def test_a_client_of_no_vendor(
    url: str, answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not say whose words it knows is not run: TLS might not be verified."""
    monkeypatch.setattr("sqlalchemy_rds_iam._tools.mysql_programs._TIME_FOR_ITS_VERSION", 0.5)
    program = tmp_path / "mysql"
    program.write_text(answer)
    program.chmod(0o700)
    found = shown("exec", url, "--", program)
    assert (found.code, found.out) == (2, "")
    assert "expected a version of MySQL or MariaDB" in found.err


def test_option_files_of_the_user(rds: RdsEmulator, url: str) -> None:
    """None has a say with a client; with a script the user is told that it has."""
    home = Path.home()
    (home / ".my.cnf").write_text(
        "[client]\nuser=ro\npassword=foo\nhost=127.0.0.1\nport=1\nskip-ssl\n[mysql]\nno-such-word\n"
    )
    found = ran("exec", url, "--", "mariadb", "-NBe", WHO)
    assert (found.code, found.out) == (0, "app@app\n")
    assert ".my.cnf" not in found.err
    told = shown("exec", url, "--", "true")
    assert f"user in {home}/.my.cnf wins over the URL" in told.err
    (home / ".my.cnf").write_text("[mysql]\nprompt=mine\n")
    assert "wins over" not in shown("exec", url, "--", "true").err
    assert len(rds.decisions) == 1


@pytest.mark.timing
@MODES
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("fault", ["healthy", "decline", "wrong-ca", "wrong-name", "refused"])
def test_no_token_in_clear(
    rds: RdsEmulator, mode: tuple[str, ...], client: str, fault: str
) -> None:
    """Whatever the server answers, there is the request for TLS in clear, and nothing else."""
    bad = rds.certificates
    if fault == "decline":
        rds.gateway.decline_tls = True
    elif fault == "refused":
        rds.gateway.refuse_next = 9
    elif fault != "healthy":
        spoilt = {"wrong-ca": bad.unrelated, "wrong-name": bad.other_host}
        rds.gateway.certificate = spoilt[fault]()
    with Wiretap(*rds.gateway.addresses[-1]) as tap:
        tapped = clients_url(rds, port=tap.port)
        found = shown("exec", tapped, *mode, "--", client, *LOGIN[client])
        assert (found.code == 0) == (fault == "healthy")
        assert tap.sent
        for stream in tap.sent:
            assert in_clear(stream) == b""
    assert not any(each.in_clear for each in rds.decisions)
    # A token that did not arrive is no reason for another.
    assert len(tap.sent) == (2 if fault == "refused" and mode else 1)


@pytest.mark.parametrize("fault", ODD["mysql"])
def test_no_token_for_odd_servers(rds: RdsEmulator, fault: str) -> None:
    """What asks for it too early, or in another way, does not get it."""
    host = rds.gateway.addresses[-1][0]
    with (
        odd_server(host, ODD["mysql"][fault], rds.certificates.valid()) as port,
        Wiretap(host, port) as tap,
    ):
        found = shown("exec", clients_url(rds, port=tap.port), "--", "mariadb", *LOGIN["mariadb"])
        assert found.code == 1
        for stream in tap.sent:
            assert in_clear(stream) == b""


def test_the_client_alone_gives_it_away(rds: RdsEmulator) -> None:
    """By itself, with a CA file, the client sends the token in clear to a server without TLS."""
    rds.gateway.decline_tls = True
    token = "db.example.com:3306/?Action=connect&X-Amz-Signature=0f1e2d3c4b5a69788796a5b4c3d2e1f0"
    with Wiretap(*rds.gateway.addresses[-1]) as tap:
        host = rds.gateway.addresses[-1][0]
        where = ("-h", host, "-P", str(tap.port), "-u", "app", f"--ssl-ca={rds.ca_file}")
        subprocess.run(
            ["mariadb", "--no-defaults", *where, "-e", "select 1"],
            env={"MYSQL_PWD": token, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            check=False,
            timeout=DEADLINE,
        )
        [stream] = tap.sent
    assert leaked(stream, {token})


@pytest.mark.timing
@pytest.mark.parametrize("client", CLIENTS)
def test_retry(rds: RdsEmulator, url: str, client: str) -> None:
    """A refused login is known by the words of each client, and followed by another token."""
    rds.gateway.refuse_next = 1
    found = ran("exec", url, "--retry", "2", "--", client, *LOGIN[client])
    assert found.code == 0, found.err
    assert "the login was refused; " in found.err
    assert [each.granted for each in rds.decisions] == [False, True]


def test_no_retry_of_anything_else(url: str) -> None:
    """A database that the user may not enter, or that there is not, is no refused login."""
    for database in ("mysql", "no_such_database"):
        found = ran("exec", url, "--retry", "2", "--", "mariadb-dump", database)
        assert found.code != 0
        assert "is run again" not in found.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["-h", "elsewhere"], "-h: host"),
        (["-uroot"], "-u: user"),
        (["-psesame"], "-p: password"),
        (["-P", "3307"], "-P: port"),
        (["-S/run/mysqld.sock"], "-S: socket"),
        (["-e", "select 1", "--host=elsewhere"], "--host: host"),
        (["--hos", "elsewhere"], "--hos: host"),
        (["--password=sesame"], "--password: password"),
        (["--skip-ssl"], "--skip-ssl: ssl"),
        (["--disable_ssl_verify_server_cert"], "--disable_ssl_verify_server_cert: ssl-verify-"),
        (["--loose-ssl-mode=DISABLED"], "--loose-ssl-mode: ssl-mode"),
        (["--ssl=0"], "--ssl: ssl"),
        (["--protocol=socket"], "--protocol: protocol"),
        (["--plugin-dir=/tmp"], "--plugin-dir: plugin-dir"),
        (["--defaults-file=mine.cnf"], "--defaults-file: defaults-file"),
        (["--defaults-extra-file=mine.cnf"], "--defaults-extra-file: defaults-extra-file"),
        (["--no-defaults"], "--no-defaults: no-defaults"),
        (["--login-path=mine"], "--login-path: login-path"),
    ],
)
def test_arguments_that_overrule(url: str, arguments: list[str], named: str) -> None:
    """What the URL says is not said by an argument, which would win; no password is shown."""
    found = shown("exec", url, "--", "mariadb", *arguments)
    assert (found.code, found.out) == (2, "")
    assert f"mariadb {named}" in found.err
    assert "sesame" not in found.err


def test_arguments_that_do_not(url: str) -> None:
    """All else is the program's own."""
    options = (
        "-B",
        "-N",
        "--skip-column-names",
        "--no-auto-rehash",
        "--default-character-set=utf8",
    )
    found = ran("exec", url, "--", "mariadb", *options, "-D", "app", "-e", "-- no word\nselect 1")
    assert (found.code, found.out) == (0, "1\n")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "tunnel.example.com"])
def test_tunnel(rds: RdsEmulator, host: str) -> None:
    """The clients verify the name that they dial, so a tunnel is refused, with what to do."""
    found = shown("exec", rds.url("mysql+pymysql").set(host=host), "--", "mariadb")
    assert (found.code, found.out) == (2, "")
    assert f"the URL leads to {host!r}" in found.err
    assert f"line '127.0.0.1 {rds.endpoint.host}' in /etc/hosts" in found.err
    assert not rds.decisions


def test_weaker_tls(rds: RdsEmulator) -> None:
    """They verify the name even where the URL would not ask for it."""
    url = f"{clients_url(rds)}&rds_iam_tls=require"
    assert shown("exec", url, "--", "mariadb", *LOGIN["mariadb"]).code == 0
    rds.gateway.certificate = rds.certificates.other_host()
    assert shown("exec", url, "--", "mariadb", *LOGIN["mariadb"]).code == 1


def test_no_python_driver_needed(rds: RdsEmulator, url: str) -> None:
    """What is no client of theirs has the URL where it was, and the token."""
    code = "import os; print(os.environ['DATABASE_URL'], os.environ['MYSQL_PWD'][:14])"
    found = ran("exec", *python(code), DATABASE_URL=url)
    assert (found.code, found.out) == (0, f"{url} 127.0.0.2:3306\n")
