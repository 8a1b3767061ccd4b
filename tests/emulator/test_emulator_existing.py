"""In front of an existing server, IAM users get sessions of their own through one login."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from functools import partial

import psycopg
import pytest
from emulator_support import libpq
from secrets_support import logs_in

from sqlalchemy_rds_iam.testing import RdsEmulator, ServerError
from sqlalchemy_rds_iam.testing.postgresql.backend import Backend
from sqlalchemy_rds_iam.testing.postgresql.users import Roles
from sqlalchemy_rds_iam.testing.server import postgres
from sqlalchemy_rds_iam.testing.server.postgres import Postgres

PASSWORD = "p@ss w/ord"
QUOTED = "p%40ss%20w%2Ford"


pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a server that knows login users by four methods."""
    with socket.socket() as probe, pytest.MonkeyPatch.context() as patch:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        probe.close()
        listening = {"listen_addresses": "127.0.0.1", "port": str(port)}
        patch.setattr(postgres, "_SETTINGS", postgres._SETTINGS | listening)
        patch.setattr(Postgres, "socket_name", f".s.PGSQL.{port}")
        server = Postgres()
        server.start()
        try:
            asyncio.run(create_logins(server.socket))
            assert server._directory is not None
            assert server._server is not None
            rules = ["local all postgres trust"]
            rules += [f"host all {user} 127.0.0.1/32 trust" for user in ("lesser", "unasked")]
            rules += ["host all secretive,secretive_clone 127.0.0.1/32 scram-sha-256"]
            rules += [f"host all by_{each} 127.0.0.1/32 {each}" for each in METHODS.values()]
            (server._directory / "data" / "pg_hba.conf").write_text("\n".join(rules) + "\n")
            os.kill(server._server.pid, signal.SIGHUP)
            yield port
        finally:
            server.stop()


METHODS = {"trust": "trust", "cleartext": "password", "md5": "md5", "scram": "scram-sha-256"}


async def create_logins(path: str) -> None:
    """A superuser for each method, and one login that may only create roles and databases."""
    roles = Roles(Backend("postgres", socket=path))
    await roles.prepare()
    await roles.execute("CREATE ROLE lesser LOGIN CREATEROLE CREATEDB")
    await roles.execute("GRANT rds_iam TO lesser WITH ADMIN OPTION")
    for method in METHODS.values():
        kind = "md5" if method == "md5" else "scram-sha-256"
        await roles.execute(
            f"SET password_encryption = '{kind}'; "
            f"CREATE ROLE \"by_{method}\" SUPERUSER LOGIN PASSWORD '{PASSWORD}'"
        )
    await roles.close()


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_login_method(port: int, method: str) -> None:
    """Trust, cleartext, MD5 and SCRAM log in, and the session has the IAM user's rights.

    RESET ALL and DISCARD ALL, which connection pools send, do not give it the login's rights.
    """
    server = f"postgresql://by_{method}:{QUOTED}@127.0.0.1:{port}/postgres"
    with (
        RdsEmulator(server=server) as rds,
        psycopg.connect(**libpq(rds), autocommit=True) as connection,
    ):
        for reset in ("SELECT 1", "RESET ALL", "RESET ROLE", "DISCARD ALL"):
            connection.execute(reset)
            assert connection.execute("SELECT current_user").fetchone() == ("app",), reset
            assert connection.execute("SHOW is_superuser").fetchone() == ("off",), reset


@pytest.mark.parametrize("settings", [{"options": "-c role=by_trust"}, {"options": "-crole=none"}])
def test_a_client_cannot_choose_another_role(port: int, settings: dict[str, str]) -> None:
    """Startup options that name another role do not win over the token's user."""
    server = f"postgresql://by_trust@127.0.0.1:{port}/postgres"
    with (
        RdsEmulator(server=server) as rds,
        psycopg.connect(**libpq(rds, **settings)) as connection,
    ):
        assert connection.execute("SELECT current_user").fetchone() == ("app",)


def test_a_login_without_superuser(port: int) -> None:
    """A login that may create roles and databases is enough."""
    with (
        RdsEmulator(
            server=f"postgresql://lesser@127.0.0.1:{port}/postgres", users=("fresh",)
        ) as rds,
        psycopg.connect(**libpq(rds, user="fresh", dbname="fresh")) as connection,
    ):
        assert connection.execute("SELECT current_user").fetchone() == ("fresh",)
        connection.execute("CREATE TABLE mine (n int)")


def test_what_the_server_would_refuse(port: int) -> None:
    """Sessions through one login are refused where the user's own would be, in the same words."""
    with RdsEmulator(server=f"postgresql://by_trust@127.0.0.1:{port}/postgres") as rds:
        for name in ("barred", "packed", "two", "admin"):
            rds.create_user(name)
        rds.execute("ALTER ROLE barred NOLOGIN; ALTER ROLE packed CONNECTION LIMIT 0")
        rds.execute("ALTER ROLE two CONNECTION LIMIT 2")
        rds.execute("ALTER ROLE admin SUPERUSER CONNECTION LIMIT 0 VALID UNTIL '2001-01-01'")
        rds.execute("CREATE DATABASE private")
        rds.execute("REVOKE CONNECT ON DATABASE private FROM public")
        rds.execute("CREATE DATABASE full_up CONNECTION LIMIT 0")
        rds.execute("CREATE DATABASE closed ALLOW_CONNECTIONS false")

        def refusal(user: str, database: str = "postgres") -> str:
            with pytest.raises(psycopg.OperationalError) as caught:
                psycopg.connect(**libpq(rds, user=user, dbname=database))
            assert rds.decisions[-1].granted
            return str(caught.value)

        assert 'role "barred" is not permitted to log in' in refusal("barred")
        assert 'too many connections for role "packed"' in refusal("packed")
        assert 'permission denied for database "private"' in refusal("app", "private")
        assert 'too many connections for database "full_up"' in refusal("app", "full_up")
        assert 'database "closed" is not currently accepting' in refusal("app", "closed")
        assert 'database "nowhere" does not exist' in refusal("app", "nowhere")
        connect = partial(psycopg.connect, **libpq(rds, user="two", dbname="postgres"))
        with connect(), connect():
            assert 'too many connections for role "two"' in refusal("two")
        until = time.monotonic() + 30
        while True:
            # The server learns of the end of a session somewhat after its client.
            try:
                connect().close()
                break
            except psycopg.OperationalError:
                assert time.monotonic() < until
        for database in ("postgres", "private", "full_up"):
            psycopg.connect(**libpq(rds, user="admin", dbname=database)).close()
        for database in ("private", "full_up", "closed"):
            rds.execute(f"DROP DATABASE {database} WITH (FORCE)")


def test_users_with_passwords(port: int) -> None:
    """Users log in as themselves, as that server asks them to; a user it does not ask cannot."""
    with RdsEmulator(server=f"postgresql://lesser@127.0.0.1:{port}/postgres") as rds:
        secret = rds.secrets.create("prod/app", "secretive", strategy="alternating-users")
        for user in ("secretive", "secretive_clone", "secretive"):
            assert secret.fields()["username"] == user
            assert logs_in(rds, secret.fields())
            assert not logs_in(rds, secret.fields() | {"password": "guess"})
            secret.rotate()
        rds.create_user("unasked", iam=False)
        assert not logs_in(rds, {"username": "unasked", "password": "anything"})
        assert not rds.decisions[-1].granted


def test_a_wrong_password_is_told(port: int) -> None:
    """The existing server's own words reach the caller that starts the emulator."""
    server = f"postgresql://by_scram-sha-256:wrong@127.0.0.1:{port}/postgres"
    with pytest.raises(ServerError, match="password authentication failed"):
        RdsEmulator(server=server).start()


def test_a_url_that_is_none_is_told_without_its_password() -> None:
    """The error shows what a URL must look like and not the secret in the one that was given."""
    with pytest.raises(ValueError, match="server must look like postgresql://") as caught:
        RdsEmulator(server="mysql://root:hunter2@db/x").start()
    assert "hunter2" not in str(caught.value)
