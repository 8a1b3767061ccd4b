"""Every driver logs in with a token over verified TLS, and is refused in RDS's words otherwise."""

from __future__ import annotations

import contextlib
import dataclasses
import ssl
from typing import Any

import asyncpg
import pg8000.dbapi
import psycopg
import psycopg2
import pytest
from emulator_support import libpq, sign, with_context

from sqlalchemy_rds_iam.testing import RdsEmulator

WHO = "SELECT current_user, session_user, current_database()"
APP = ("app", "app", "app")


@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
def test_psycopg(rds: RdsEmulator, negotiation: str) -> None:
    """psycopg, by SSLRequest and by direct TLS, which libpq has known since version 17."""
    direct = {} if negotiation == "postgres" else {"sslnegotiation": negotiation}
    if direct and psycopg.pq.version() < 170000:
        pytest.skip("needs libpq 17")
    with psycopg.connect(**libpq(rds, **direct)) as connection:
        assert connection.execute(WHO).fetchone() == APP
    assert [decision.granted for decision in rds.decisions] == [True]


async def test_psycopg_async(rds: RdsEmulator) -> None:
    """Psycopg's async connection."""
    async with await psycopg.AsyncConnection.connect(**libpq(rds)) as connection:
        cursor = await connection.execute(WHO)
        assert await cursor.fetchone() == APP


def test_psycopg2(rds: RdsEmulator) -> None:
    """psycopg2."""
    with contextlib.closing(psycopg2.connect(**libpq(rds))) as connection:
        cursor = connection.cursor()
        cursor.execute(WHO)
        assert cursor.fetchone() == APP


@pytest.mark.parametrize("direct", [False, True])
async def test_asyncpg(rds: RdsEmulator, direct: bool) -> None:
    """asyncpg, by SSLRequest and by direct TLS."""
    arguments = with_context(rds, "ssl", direct_tls=direct)
    arguments["ssl"].set_alpn_protocols(["postgresql"])
    connection = await asyncpg.connect(**arguments)
    try:
        assert tuple(await connection.fetchrow(WHO)) == APP
    finally:
        await connection.close()


def test_pg8000(rds: RdsEmulator) -> None:
    """pg8000."""
    with contextlib.closing(pg8000.dbapi.connect(**with_context(rds, "ssl_context"))) as connection:
        cursor = connection.cursor()
        cursor.execute(WHO)
        assert tuple(cursor.fetchone()) == APP


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_either_tls_version(rds: RdsEmulator, version: ssl.TLSVersion) -> None:
    """A client that speaks one version only is served in that version."""
    arguments = with_context(rds, "ssl")
    arguments["ssl"].minimum_version = arguments["ssl"].maximum_version = version
    connection = await asyncpg.connect(**arguments)
    try:
        used = connection._transport.get_extra_info("ssl_object").version()
        assert used == version.name.replace("_", ".")
    finally:
        await connection.close()


def test_startup_parameters_reach_the_server(rds: RdsEmulator) -> None:
    """application_name, options and the rest arrive as if there were no gateway."""
    arguments = libpq(
        rds,
        application_name="a name",
        options="-c statement_timeout=1234",
        client_encoding="LATIN1",
        dbname="postgres",
    )
    with psycopg.connect(**arguments) as connection:
        shown = [
            connection.execute(f"SHOW {name}").fetchone()
            for name in ("application_name", "statement_timeout", "client_encoding")
        ]
        assert shown == [("a name",), ("1234ms",), ("LATIN1",)]
        assert connection.info.dbname == "postgres"
        assert connection.info.parameter_status("server_version") is not None


def test_the_servers_own_refusal_reaches_the_client(rds: RdsEmulator) -> None:
    """A good token does not create a database: the error is the real server's."""
    with pytest.raises(psycopg.OperationalError, match='database "nowhere" does not exist'):
        psycopg.connect(**libpq(rds, dbname="nowhere"))


async def test_a_refused_token_is_a_pam_failure(rds: RdsEmulator) -> None:
    """Whatever is wrong, the client sees 28000 and one sentence; the decision knows more."""
    reader = rds.identities.issue(rds.identities.user("reader", db_users=["report"]))
    wrong = dataclasses.replace(rds.endpoint, host="other.example.com")
    for password, reason in (
        ("secret", "InvalidToken"),
        (sign(rds.key, wrong), "InvalidToken"),
        (sign(reader, rds.endpoint), "NotAuthorized"),
        ("x" * 20_000, "InvalidToken"),
    ):
        arguments = with_context(rds, "ssl") | {"password": password}
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError) as caught:
            await asyncpg.connect(**arguments)
        assert str(caught.value) == 'PAM authentication failed for user "app"'
        assert caught.value.sqlstate == "28000"
        assert rds.decisions[-1].reason == reason
        assert not rds.decisions[-1].granted
    assert "no token is longer than 16384" in rds.decisions[-1].detail
    assert rds.metrics == {
        "IamDbAuthConnectionRequests": 4,
        "IamDbAuthConnectionSuccess": 0,
        "IamDbAuthConnectionFailure": 4,
        "IamDbAuthConnectionFailureInvalidToken": 3,
        "IamDbAuthConnectionFailureInsufficientPermissions": 1,
        "IamDbAuthConnectionFailureThrottling": 0,
        "IamDbAuthConnectionFailureServerError": 0,
    }


def test_a_key_of_sts_is_known_at_once_and_revoked_at_once(rds: RdsEmulator) -> None:
    """Gateway and AWS endpoints look at one register."""
    role = rds.identities.role("worker")
    key = rds.identities.issue(role, lifetime=3600)
    password = sign(key, rds.endpoint)
    psycopg.connect(**libpq(rds, password=password)).close()
    rds.identities.revoke(role)
    with pytest.raises(psycopg.OperationalError, match="PAM authentication failed"):
        psycopg.connect(**libpq(rds, password=password))
    assert rds.decisions[-1].principal == role.arn


@pytest.mark.parametrize("user", ["no_iam", "missing", "quo\"te'd"])
def test_a_user_without_rds_iam_fails_as_a_password(rds: RdsEmulator, user: str) -> None:
    """Such a user, or none at all, is asked for a password: 28P01, and IAM counts nothing."""
    if user != "missing":
        rds.create_user(user, iam=False)
    arguments = libpq(rds, user=user)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed for user"):
        psycopg.connect(**arguments)
    assert rds.decisions[-1].reason == "PasswordAuthentication"
    assert rds.metrics["IamDbAuthConnectionRequests"] == 0
    if user != "missing":
        rds.create_user(user, iam=True)
        with psycopg.connect(**arguments) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (user,)


def test_membership_through_another_role_counts(rds: RdsEmulator) -> None:
    """AWS: nested and indirect grants of rds_iam count; a superuser without one does not."""
    rds.execute("CREATE ROLE team; GRANT rds_iam TO team; CREATE ROLE nested LOGIN IN ROLE team")
    psycopg.connect(**libpq(rds, user="nested")).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(**libpq(rds, user="postgres"))


@pytest.mark.parametrize("decline", [False, True])
def test_clear_text_is_refused_in_rds_words(rds: RdsEmulator, decline: bool) -> None:
    """Without TLS no client is asked for a token, declined TLS included."""
    rds.gateway.decline_tls = decline
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(**libpq(rds, sslmode="prefer" if decline else "disable"))
    assert (
        'FATAL:  no pg_hba.conf entry for host "127.0.0.1", user "app", database "app", '
        "no encryption" in str(caught.value)
    )
    assert rds.decisions == []
    if decline:
        with pytest.raises(psycopg.OperationalError, match="server does not support SSL"):
            psycopg.connect(**libpq(rds))


@pytest.mark.parametrize(
    ("certificate", "said"),
    [
        ("other_host", "does not match host name"),
        ("expired", "certificate has expired|certificate verify failed"),
        ("unrelated", "certificate verify failed"),
    ],
)
def test_another_certificate_is_noticed(rds: RdsEmulator, certificate: str, said: str) -> None:
    """Each bad certificate stops verify-full and nothing else, until the knobs are reset."""
    rds.gateway.certificate = getattr(rds.certificates, certificate)()
    with pytest.raises(psycopg.OperationalError, match=said):
        psycopg.connect(**libpq(rds))
    psycopg.connect(**libpq(rds, sslmode="require", sslrootcert="")).close()
    rds.gateway.reset()
    psycopg.connect(**libpq(rds)).close()


def test_the_signed_name_is_on_the_certificate(rds: RdsEmulator) -> None:
    """A client that connects by the RDS name, through hostaddr, verifies it."""
    arguments: dict[str, Any] = libpq(rds, host=rds.endpoint.host, hostaddr=rds.address[0])
    psycopg.connect(**arguments).close()


def test_protocol_3_2_is_negotiated(rds: RdsEmulator) -> None:
    """A client that asks for protocol 3.2 gets it, or is told what the real server speaks."""
    if psycopg.pq.version() < 180000:
        pytest.skip("needs libpq 18")
    with psycopg.connect(**libpq(rds, max_protocol_version="3.2")) as connection:
        minor = 2 if connection.info.server_version >= 180000 else 0
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert rds.gateway._backend.protocol == (3 << 16) + minor
