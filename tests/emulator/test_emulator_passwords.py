"""Users without rds_iam log in with passwords, by SCRAM, if the real server lets them."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import asyncpg
import pg8000.dbapi
import psycopg
import psycopg2
import pytest
from emulator_support import libpq, with_context
from families import Words
from secrets_support import logs_in

from sqlalchemy_rds_iam.testing import RdsEmulator

USER = "by_password"
# Characters that have to be quoted in SQL, in URLs and nowhere; the last is IX in NFKC.
PASSWORDS = ["simple", "p@ss w/ord%41?#&=", "'\"\\`$$;--", "plän☃", "\u2168", "x" * 500]


def _psycopg(rds: RdsEmulator, password: str) -> str:
    arguments = libpq(rds, user=USER, dbname="postgres", password=password)
    # Which fails when the server did not prove that it knows the password, too.
    if psycopg.pq.version() >= 160000:
        arguments["require_auth"] = "scram-sha-256"
    with psycopg.connect(**arguments) as connection:
        return str(connection.info.user)


def _psycopg2(rds: RdsEmulator, password: str) -> str:
    arguments = libpq(rds, user=USER, dbname="postgres", password=password)
    with closing(psycopg2.connect(**arguments)) as connection:
        return str(connection.info.user)


def _pg8000(rds: RdsEmulator, password: str) -> str:
    arguments = with_context(rds, "ssl_context", user=USER, database="postgres", password=password)
    with closing(pg8000.dbapi.connect(**arguments)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT current_user")
        return str(cursor.fetchone()[0])


def _asyncpg(rds: RdsEmulator, password: str) -> str:
    async def log_in() -> str:
        arguments = with_context(rds, "ssl", user=USER, database="postgres", password=password)
        connection = await asyncpg.connect(**arguments)
        try:
            return str(await connection.fetchval("SELECT current_user"))
        finally:
            await connection.close()

    return asyncio.run(log_in())


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("log_in", [_psycopg, _psycopg2, _asyncpg, _pg8000])
def test_the_password_decides(
    rds: RdsEmulator, log_in: Callable[[RdsEmulator, str], str], password: str
) -> None:
    """Every driver logs in with the password and is refused without it; IAM is not asked."""
    rds.secrets.create("app", USER, password=password)
    assert log_in(rds, password) == USER
    with pytest.raises(Exception, match="password authentication failed"):
        log_in(rds, password + "?")
    assert [(each.granted, each.method, each.reason) for each in rds.decisions] == [
        (True, "password", None),
        (False, "password", "PasswordAuthentication"),
    ]
    assert set(rds.metrics.values()) == {0}


@pytest.mark.parametrize("binding", ["disable", "prefer", "require"])
def test_channel_binding(rds: RdsEmulator, binding: str) -> None:
    """Preferred it is gone without; a client that requires it gives up, and others go on."""
    fields = rds.secrets.create("app", USER).fields()
    if binding == "require":
        with pytest.raises(psycopg.OperationalError, match="channel binding"):
            logs_in(rds, fields, channel_binding=binding)
    assert logs_in(rds, fields, channel_binding="prefer" if binding == "require" else binding)


def test_rds_iam_takes_precedence(rds: RdsEmulator) -> None:
    """A member of rds_iam is asked for a token, whatever password it has."""
    rds.execute("ALTER ROLE app PASSWORD 'old'")
    with pytest.raises(psycopg.OperationalError, match="PAM authentication failed"):
        psycopg.connect(**libpq(rds, password="old"))
    assert rds.decisions[-1].method == "iam"
    with pytest.raises(ValueError, match="'app' is a member of rds_iam"):
        rds.secrets.create("app", "app")
    with pytest.raises(ValueError, match="'postgres' is the emulator's own"):
        rds.secrets.create("app", "postgres")


def test_no_login_unasked(rds: RdsEmulator) -> None:
    """The emulator's own user, which the server trusts, is refused like an unknown one."""
    for user in ("postgres", "no-user-of-that-name"):
        assert not logs_in(rds, {"username": user, "password": "guess"})
    assert rds.decisions[0].detail.endswith("the server: it asks this user for no password")


def test_knobs(rds: RdsEmulator) -> None:
    """Logins by password can be refused, and held back, on demand."""
    fields = rds.secrets.create("app", USER).fields()
    rds.gateway.refuse_next = 1
    assert not logs_in(rds, fields)
    rds.gateway.auth_delay = 0.05
    begun = time.monotonic()
    assert logs_in(rds, fields)
    assert time.monotonic() - begun > 0.05


def test_tls_is_required(rds: RdsEmulator) -> None:
    """In clear text no client is asked for a password."""
    fields = rds.secrets.create("app", USER).fields()
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        logs_in(rds, fields, sslmode="disable")
    context = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        pg8000.dbapi.connect(
            **with_context(rds, "ssl_context", user=USER, password="x") | {"ssl_context": context}
        )
    assert rds.decisions == []


def test_a_user_without_iam_is_told_so(rds: RdsEmulator, connect: Any, words: Words) -> None:
    """Every driver brings the server's words when it is asked for a password and sends a token."""
    rds.create_user("outsider", iam=False)
    error = connect(user="outsider").raises(Exception)
    assert words.refused in str(error)
    assert rds.decisions[-1].method == "password"
