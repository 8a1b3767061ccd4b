"""In front of an existing MariaDB: users are created there, and only the gateway can be them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pymysql
import pytest
from mysql_support import arguments

from sqlalchemy_rds_iam.testing import RdsEmulator, ServerError
from sqlalchemy_rds_iam.testing.server import mariadb, mariadb_programs

pytestmark = pytest.mark.server

PASSWORD = "p@ss/w:örd"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a server with a superuser, and with a user who may only look."""
    with contextlib.suppress(RuntimeError):
        mariadb_programs.find()
    with socket.socket() as probe, pytest.MonkeyPatch.context() as patch:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        probe.close()
        settings = [each for each in mariadb._SETTINGS if each != "--skip-networking"]
        listening = ("--bind-address=127.0.0.1", f"--port={port}")
        patch.setattr(mariadb, "_SETTINGS", (*settings, *listening))
        with RdsEmulator(engine="mysql", users=()) as rds:
            for user in ("admin", "lesser"):
                rds.execute(f"CREATE USER {user}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")
            rds.execute("GRANT ALL ON *.* TO admin@'127.0.0.1' WITH GRANT OPTION")
            yield port


def server(port: int, user: str = "admin", scheme: str = "mysql") -> str:
    """The URL of the server, for one of its users."""
    return f"{scheme}://{user}:p%40ss%2Fw%3A%C3%B6rd@127.0.0.1:{port}"


@pytest.mark.parametrize("scheme", ["mysql", "mariadb"])
def test_a_login(port: int, scheme: str) -> None:
    """A token leads to a session as the user itself."""
    with RdsEmulator(engine="mysql", server=server(port, scheme=scheme)) as rds:
        with (
            contextlib.closing(pymysql.connect(**arguments(rds))) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT current_user(), database()")
            assert cursor.fetchone() == ("app@%", "app")
            cursor.execute("CREATE OR REPLACE TABLE mine (n int)")
        assert rds.execute("SELECT user()") == [("admin@127.0.0.1",)]
        assert [each.granted for each in rds.decisions] == [True]


def test_two_emulators_of_one_server(port: int) -> None:
    """Both know how to be its users: what one has created serves the other."""
    with (
        RdsEmulator(engine="mysql", server=server(port)) as first,
        RdsEmulator(engine="mysql", server=server(port)) as second,
    ):
        for rds in (first, second, first):
            pymysql.connect(**arguments(rds)).close()


def test_no_way_past_the_gateway(port: int) -> None:
    """A user of IAM has no password that anything but the emulator knows."""
    with RdsEmulator(engine="mysql", server=server(port)):
        for password in ("", "app", PASSWORD):
            with pytest.raises(pymysql.err.OperationalError, match="1045"):
                pymysql.connect(host="127.0.0.1", port=port, user="app", password=password)


def test_passwords(port: int) -> None:
    """Users with passwords log in through the gateway, as they do without it."""
    with RdsEmulator(engine="mysql", server=server(port)) as rds:
        fields = rds.secrets.create("prod/app", "keeper").fields()
        given = arguments(rds, user="keeper", database="test", password=fields["password"])
        pymysql.connect(**given).close()
        assert [each.method for each in rds.decisions] == ["password"]


def test_a_user_who_may_not(port: int) -> None:
    """The server's own words, and its number."""
    with pytest.raises(ServerError) as caught:
        RdsEmulator(engine="mysql", server=server(port, "lesser")).start()
    assert caught.value.number == 1227
    assert "CREATE USER" in str(caught.value)


def test_a_wrong_password(port: int) -> None:
    """The server's own words, without the password."""
    url = f"mysql://admin:wr0ng@127.0.0.1:{port}"
    with pytest.raises(ServerError, match="1045") as caught:
        RdsEmulator(engine="mysql", server=url).start()
    assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["postgresql://admin@127.0.0.1", "mysql://127.0.0.1:3306", "mysql+pymysql://a@b"]
)
def test_a_url_that_is_none(url: str) -> None:
    """Another scheme, or no user: what is expected is said."""
    with pytest.raises(ValueError, match="mysql://user:password@host:port"):
        RdsEmulator(engine="mysql", server=url).start()


def test_a_port_without_a_server() -> None:
    """The start fails with the system's words."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="Connect call failed"):
            RdsEmulator(engine="mysql", server=server(probe.getsockname()[1])).start()
