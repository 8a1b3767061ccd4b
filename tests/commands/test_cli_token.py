"""`rds-iam token`: the token alone, and everything that keeps it from being printed."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from datetime import datetime

import psycopg
import pytest
from cli_support import COMMAND, HOST, URL, ran, shown
from patience import DEADLINE, eventually, running

from sqlalchemy_rds_iam._access import Access
from sqlalchemy_rds_iam._aws.sigv4 import Credentials, sign
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam.testing import RdsEmulator


def _login(rds: RdsEmulator, token: str) -> None:
    host, port = rds.address
    psycopg.connect(
        host=rds.endpoint.host,
        hostaddr=host,
        port=port,
        user="app",
        dbname="app",
        password=token,
        sslmode="verify-full",
        sslrootcert=str(rds.ca_file),
    ).close()


@pytest.mark.parametrize("drivername", ["postgresql", "postgresql+psycopg", "postgresql+asyncpg"])
def test_token(rds: RdsEmulator, drivername: str) -> None:
    """What is printed is a token and a line end, nothing else, and it logs in."""
    found = shown("token", rds.url(drivername).render_as_string())
    assert (found.code, found.err) == (0, "")
    [token] = found.out.splitlines()
    _login(rds, token)
    assert rds.decisions[-1].granted


def test_json(rds: RdsEmulator) -> None:
    """JSON says what was signed, by whom and until when; it is the token that logs in."""
    data = json.loads(shown("token", "--json", rds.url().render_as_string()).out)
    _login(rds, data["token"])
    host, port, region = rds.endpoint.host, rds.endpoint.port, rds.endpoint.region
    assert data["signed_for"] == {"host": host, "port": port, "region": region, "user": "app"}
    assert data["identity"] == {"access_key": rds.key.access_key, "provider": "env"}
    assert datetime.fromisoformat(data["expires_at"]).timestamp() == pytest.approx(
        time.time() + 900, abs=5
    )
    assert data["expires_in"] == pytest.approx(900, abs=5)


def test_url_of_the_environment(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument RDS_IAM_URL counts, and then DATABASE_URL."""
    assert shown("token").code == 2
    monkeypatch.setenv("DATABASE_URL", URL)
    assert shown("token").out.startswith(f"{HOST}:5432/?")
    monkeypatch.setenv("RDS_IAM_URL", URL.replace("mydb", "other"))
    assert shown("token").out.startswith("other.")


def test_options(rds: RdsEmulator) -> None:
    """An option of the command line is one of the URL, over which it wins."""
    url = f"{URL}&rds_iam_port=1"
    found = shown("token", url, "-o", "rds_iam_port=7777", "--option", "rds_iam_host=a." + HOST[5:])
    assert found.out.startswith(f"a.{HOST[5:]}:7777/?")


def test_without_a_ca_file(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token needs no CA file, no driver and no TLS option of the driver's."""
    monkeypatch.setenv("PGSSLROOTCERT", "/nowhere")
    for url in (URL, f"{URL}&sslmode=disable", URL.replace("psycopg", "psycopg9")):
        assert shown("token", url).code == 0


@pytest.mark.parametrize(
    "drivername",
    [
        *("mysql", "mariadb", "mysql+pymysql", "mysql+asyncmy", "mysql+aiomysql", "mysql+mysqldb"),
        *("mysql+mysqlconnector", "mariadb+mariadbconnector", "mariadb+pymysql", "mysql+other"),
    ],
)
@pytest.mark.parametrize("query", ["", "&ssl_disabled=true", "&unix_socket=/run/mysqld.sock"])
def test_mysql(
    rds: RdsEmulator, drivername: str, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of MySQL and MariaDB, too, no driver has to be there and none is asked; the port is 3306."""
    for module in ("pymysql", "asyncmy", "aiomysql", "MySQLdb", "mysql", "mariadb"):
        for name in [module, *(each for each in sys.modules if each.startswith(f"{module}."))]:
            monkeypatch.setitem(sys.modules, name, None)
    url = URL.replace("postgresql+psycopg", drivername)
    found = shown("token", f"{url}{query}")
    assert (found.code, found.err) == (0, "")
    assert found.out.startswith(f"{HOST}:3306/?Action=connect&DBUser=app&")
    for place in ("localhost", "127.0.0.1"):
        tunnel = url.replace(HOST, place) + f"&rds_iam_host={HOST}{query}"
        assert shown("token", tunnel).out.startswith(f"{HOST}:3306/?")
    del rds


def test_same_as_the_plugins() -> None:
    """A role is asked for at the STS that the plugin would ask, and signs as it would."""
    access = Access(URL, {"rds_iam_port": "6432"})
    assert access.endpoint == Endpoint(HOST, 6432, "app", "eu-central-1")
    assert str(access.engine_url) == f"{URL}&rds_iam_port=6432"
    assert str(access.url) == URL.partition("?")[0]
    named = Access("postgresql://app@h.abc123.us-east-1.rds.amazonaws.com/?plugin=other")
    assert named.engine_url.query["plugin"] == ("other", "rds_iam")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nonsense"], "the URL cannot be read: expected postgresql+psycopg://"),
        (["postgresql://app:sesame@h:x/d"], "the URL cannot be read"),
        (
            ["mssql+pyodbc://app@h/d"],
            "begins with mssql+pyodbc://: expected postgresql://, mysql://, ",
        ),
        (["mysql+psycopg://app@h/d"], "psycopg is a driver of PostgreSQL"),
        (["postgresql+pymysql://app@h/d"], "pymysql is a driver of MySQL"),
        ([f"mysql+pymysql://{'a' * 33}@{HOST}/d"], "MySQL keeps 32"),
        (["postgres://app@h/d"], "begins with postgres://: expected postgresql://"),
        (["postgresql://app:sesame@h/d"], "there is a password in the URL"),
        ([f"{URL}&rds_iam_regoin=x"], "did you mean rds_iam_region?"),
        ([f"{URL}&rds_iam_enabled=off"], "rds_iam_enabled=off"),
        ([URL, "-o", "profile=x"], "--option profile: expected NAME=VALUE"),
        ([URL, "-o", "rds_iam_profile"], "--option rds_iam_profile: expected NAME=VALUE"),
        ([URL, "-o", "rds_iam_timeout=never"], "expected a number of seconds"),
        ([URL.replace("app@", "")], "names no database user"),
        (["postgresql:///app?plugin=rds_iam"], "names no host"),
        ([f"{URL}&host=a,b"], "one host only"),
    ],
)
def test_called_wrongly(arguments: list[str], sentence: str) -> None:
    """What is wrong with a URL or an option is said in one paragraph, with exit status 2."""
    found = shown("token", *arguments)
    assert (found.code, found.out) == (2, "")
    [line] = found.err.splitlines()
    assert line.startswith("rds-iam token: ")
    assert sentence in line
    assert "sesame" not in line


def test_no_credentials(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without AWS credentials one sentence says who was asked, with exit status 1."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_EC2_METADATA_SERVICE_ENDPOINT")
    found = ran("token", URL)
    assert (found.code, found.out) == (1, "")
    [line] = found.err.splitlines()
    assert line.startswith("rds-iam token: no AWS credentials found; asked were env")


def test_deadline(
    rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: pytest.TempPathFactory
) -> None:
    """A provider that hangs holds the command up for --timeout, and no longer."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    config = tmp_path / "config"
    script = tmp_path / "hang"
    script.write_text(
        f"echo $$ > {tmp_path}/started; mv {tmp_path}/started {tmp_path}/pid\nexec sleep 600\n"
    )
    config.write_text(f"[default]\ncredential_process = sh {script}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    found = shown("token", URL, "--timeout", "0.3")
    eventually((tmp_path / "pid").exists)
    # It would be gone, had it been waited for.
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert found.code == 1
    assert found.err.startswith("rds-iam token: no AWS credentials within 0.3 s")


def test_odd_name(rds: RdsEmulator) -> None:
    """A name that RDS accepts no token for gets one, and a note."""
    found = shown("token", "postgresql://app@db.example.com/app", "-o", "rds_iam_region=eu-west-1")
    assert found.code == 0
    assert "'db.example.com' is not the name of an RDS endpoint" in found.err


def test_terminal(rds: RdsEmulator) -> None:
    """A terminal shows the token and what it is good for; a pipe gets the token alone."""
    master, slave = pty.openpty()
    with running([*COMMAND, "token", URL], stdout=slave, stderr=subprocess.PIPE) as process:
        os.close(slave)
        told = process.communicate(timeout=DEADLINE)[1].decode()
        printed = os.read(master, 65536).decode()
        os.close(master)
    assert process.returncode == 0
    assert "who sees this can log in as 'app' until" in told
    assert "\x1b" not in printed + told
    piped = ran("token", URL)
    assert (piped.err, piped.out.count("\n")) == ("", 1)


def test_a_role(rds: RdsEmulator) -> None:
    """A role of the URL is assumed, and it is who signs."""
    role = rds.identities.role("orders")
    data = json.loads(shown("token", "--json", f"{URL}&rds_iam_role_arn={role.arn}").out)
    assert data["identity"]["provider"] == f"assume-role {role.arn}"
    assert "X-Amz-Security-Token" in data["token"]
    assert rds.aws.sts.records[-1].operation == "AssumeRole"


def test_refused_and_replaced(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token in place of a refused one is signed with credentials that were loaded anew."""
    access = Access(URL)
    first = access.token()
    assert access.token() is first
    other = rds.identities.issue(rds.key.principal)
    for name, value in other.environ().items():
        monkeypatch.setenv(name, value)
    access.provider.caches[0].clock = lambda: time.time() + 60
    second = access.replaced(first)
    assert access.credentials().access_key == other.access_key
    expected = sign(
        Credentials(other.access_key, other.secret_key), access.endpoint, second.signed_at
    )
    assert second.password == expected.password
