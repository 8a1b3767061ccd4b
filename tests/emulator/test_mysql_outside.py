"""The emulator of MySQL as its users have it: fixtures, programs in front and behind, variables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest
from emulator_support import sign
from mysql_support import arguments
from patience import DEADLINE, running
from sqlalchemy import create_engine, make_url, text

from sqlalchemy_rds_iam.testing import AccessKey, Principal, RdsEmulator, SignedEndpoint, foreground

pytestmark = pytest.mark.server

MODULE = (sys.executable, "-m", "sqlalchemy_rds_iam.testing", "--engine", "mysql")
COMMAND = (
    sys.executable,
    "-c",
    "from sqlalchemy_rds_iam.cli import main; main()",
    "emulator",
    "--engine",
    "mysql",
)
ASK = """
import os
from sqlalchemy import create_engine, text
with create_engine(os.environ["DATABASE_URL"]).connect() as connection:
    print(connection.scalar(text("select current_user()")))
assert not [name for name in os.environ if name.startswith("MYSQL_")]
"""


@pytest.mark.parametrize("_time", [1, 2])
def test_each_test_starts_clean(rds_iam_mysql_environment: RdsEmulator, _time: int) -> None:
    """Records and faults of one test are not those of the next; the environment is all of AWS."""
    rds = rds_iam_mysql_environment
    assert rds.decisions == []
    assert not rds.gateway.decline_tls
    with create_engine(rds.url()).connect() as connection:
        assert connection.scalar(text("select current_user()")) == "app@%"
    assert len(rds.decisions) == 1
    for knob in ("decline_tls", "asks_before_tls"):
        setattr(rds.gateway, knob, True)
    rds.gateway.switch_to = rds.gateway.default_plugin = "caching_sha2_password"
    rds.gateway.greeting_error = (1040, "", "Too many connections")


def test_urls(mysql: RdsEmulator) -> None:
    """Drivers that verify what they dial are sent to an address that is in the certificate."""
    tunnel = mysql.url("mysql+pymysql")
    assert tunnel.host == "127.0.0.1"
    assert tunnel.query["rds_iam_host"] == mysql.endpoint.host
    for driver in ("mysql+mysqldb", "mysql+mysqlconnector", "mariadb+mariadbconnector"):
        url = mysql.url(driver, rds_iam_timeout="5")
        if len(mysql.gateway.addresses) == 1:
            assert url.host == "127.0.0.1"
            continue
        assert (url.host, url.port) == ("127.0.0.2", mysql.address[1])
        assert url.query["rds_iam_region"] == mysql.endpoint.region
        assert url.query["rds_iam_timeout"] == "5"
        assert "rds_iam_host" not in url.query
    assert mysql.url().drivername == "mysql+pymysql"


def test_both_at_once(mysql: RdsEmulator, rds_emulator: RdsEmulator) -> None:
    """The emulators of both databases live side by side."""
    assert {mysql.endpoint.port, rds_emulator.endpoint.port} == {3306, 5432}
    assert mysql.execute("SELECT 1") == rds_emulator.execute("SELECT 1")


def test_no_such_engine() -> None:
    """The error names those that there are."""
    with pytest.raises(ValueError, match="postgresql or mysql, not 'oracle'"):
        RdsEmulator(engine="oracle")


@pytest.fixture(params=["module", "command"])
def told(request: pytest.FixtureRequest) -> Iterator[dict[str, object]]:
    """What the emulator says of itself as a program, which ends in good order when it is told."""
    command = [*(MODULE if request.param == "module" else COMMAND), "--json", "--secret", "keeper"]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate(timeout=DEADLINE)[1]
        yield json.loads(line)
        process.terminate()
        _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, errors
    assert "granted: user 'app'" in errors
    assert "Traceback" not in errors


def test_as_a_program(told: dict[str, object]) -> None:
    """The line of JSON is enough to log in."""
    url = make_url(str(told["url"]))
    assert url.drivername == "mysql+pymysql"
    environ = told["environ"]
    assert isinstance(environ, dict)
    key = AccessKey(
        environ["AWS_ACCESS_KEY_ID"],
        environ["AWS_SECRET_ACCESS_KEY"],
        None,
        None,
        Principal("arn:aws:iam::123456789012:user/app"),
    )
    token = sign(key, SignedEndpoint(str(url.host), 3306, "us-east-1"))
    pymysql.connect(
        host=url.host,
        port=int(url.port or 0),
        user="app",
        password=token,
        ssl_ca=str(told["ca_file"]),
        ssl_verify_cert=True,
        ssl_verify_identity=True,
    ).close()


def test_around_a_command(tmp_path: Path) -> None:
    """A command has variables that lead to the emulator, and none of mine that lead elsewhere."""
    environ = {**os.environ, "MYSQL_PWD": "mine", "MYSQL_HOST": "db.example.com"}
    done = subprocess.run(
        [*COMMAND, "--", sys.executable, "-c", ASK],
        env=environ,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "app@%"
    assert "MYSQL_HOST, MYSQL_PWD" in done.stderr


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--driver", "psycopg"], "the driver psycopg is none of mysql: expected one of pymysql"),
        (["--server", "postgresql://a@b"], "mysql://user:password@host:port"),
        (["--mariadb", "/nonexistent"], "no MariaDB server found in '/nonexistent'"),
    ],
)
def test_called_wrongly(more: list[str], says: str) -> None:
    """One line says what is wrong, and there is no traceback."""
    done = subprocess.run(
        [*COMMAND, *more], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode in {1, 2}
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_fetch_is_mysqls() -> None:
    """PostgreSQL is not fetched: it comes with pip."""
    with (
        pytest.raises(ValueError, match="--engine mysql"),
        foreground.serving(fetch=True),
    ):
        pass


def test_a_login_by_hand(mysql: RdsEmulator) -> None:
    """A driver of its own, without the plugin, works as on AWS."""
    pymysql.connect(**arguments(mysql)).close()
