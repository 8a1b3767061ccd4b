"""The fault knobs, with MySQL: each does what it says, and is gone after a reset."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pymysql
import pytest
from emulator_support import sign
from mysql_support import CLOSED, IN, arguments, raw, response
from patience import SOON, eventually

from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.mysql import wire

# Numbers, SQLSTATEs and words of MySQL, MariaDB, RDS and RDS Proxy.
ERRORS = [
    (1040, "HY000", "IAM authentication rate limit exceeded"),
    (1040, "HY000", "Connections rate limit exceeded (1)"),
    (1044, "42000", "Access denied for user 'app'@'%' to database 'app'"),
    (1045, "28000", "Access denied for user 'app'@'10.0.0.1' (using password: YES)"),
    (1049, "42000", "Unknown database 'app'"),
    (1203, "42000", "User app already has more than 'max_user_connections' active connections"),
    (1226, "42000", "User 'app' has exceeded the 'max_user_connections' resource"),
    (1524, "HY000", "Plugin 'AWSAuthenticationPlugin' is not loaded"),
    (3159, "HY000", "This RDS Proxy requires TLS connections."),
    (9501, "HY000", "Timed-out waiting to acquire database connection"),
]
INSTEAD_OF_GREETING = [
    (1040, "08004", "Too many connections"),
    (1129, "", "Host '10.0.0.1' is blocked because of many connection errors"),
    (1130, "", "Host '10.0.0.1' is not allowed to connect to this MySQL server"),
]


def refused(rds: RdsEmulator, **changes: Any) -> tuple[int, str]:
    """Number and words that PyMySQL fails with."""
    with pytest.raises(pymysql.err.MySQLError) as caught:
        pymysql.connect(**arguments(rds, **changes))
    number, text = caught.value.args
    return number, text


def works(rds: RdsEmulator) -> None:
    """A login is let in."""
    pymysql.connect(**arguments(rds)).close()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{error[0]}-{error[2][:12]}")
def test_answers(mysql: RdsEmulator, error: tuple[int, str, str]) -> None:
    """`answer` is what each token is answered with, and nothing is decided about it."""
    mysql.gateway.answer = error
    assert refused(mysql) == (error[0], error[2])
    assert mysql.decisions == []
    mysql.gateway.reset()
    works(mysql)


@pytest.mark.parametrize("error", INSTEAD_OF_GREETING, ids=lambda error: str(error[0]))
def test_an_error_in_place_of_the_greeting(mysql: RdsEmulator, error: tuple[int, str, str]) -> None:
    """`greeting_error` comes before anything else, with an SQLSTATE or without, as at servers."""
    mysql.gateway.greeting_error = error
    assert refused(mysql)[0] == error[0]
    mysql.gateway.reset()
    works(mysql)


def test_the_server_is_full(mysql: RdsEmulator) -> None:
    """What the real server says in place of a greeting is passed on."""
    mysql.execute("SET GLOBAL max_connections = 10")  # the least that it takes
    said: set[int] = set()
    try:
        with contextlib.ExitStack() as held:
            for _ in range(20):
                try:
                    held.callback(pymysql.connect(**arguments(mysql)).close)
                except pymysql.err.OperationalError as error:
                    said.add(error.args[0])
    finally:
        eventually(lambda: not mysql.gateway._tasks)
        mysql.execute("SET GLOBAL max_connections = 500")
    assert said == {1040}


async def test_no_tls(mysql: RdsEmulator) -> None:
    """Without TLS in the greeting a client that insists on it is told so, and sends no token."""
    mysql.gateway.decline_tls = True
    assert refused(mysql)[0] == 2026
    async with raw(mysql, tls=False) as client:
        assert not client.greeting.capabilities & wire.SSL
    assert mysql.decisions == []


async def test_a_password_before_tls(mysql: RdsEmulator) -> None:
    """A server that offers TLS and asks for the password in clear: who gives it has lost it."""
    mysql.gateway.asks_before_tls = True
    assert refused(mysql)[0] == 2003
    assert mysql.decisions == []
    async with raw(mysql, tls=False) as client:
        assert client.greeting.capabilities & wire.SSL
        client.send((wire.PROTOCOL_41 | wire.SSL).to_bytes(4, "little") + bytes(28))
        assert await client.receive() == wire.switch(wire.CLEAR_PASSWORD)
        client.send(sign(mysql.key, mysql.endpoint).encode() + b"\0")
        assert (await client.outcome())[0] == 1045
    [decision] = mysql.decisions
    assert (decision.granted, decision.in_clear) == (False, True)


@pytest.mark.parametrize("plugin", ["caching_sha2_password", "mysql_native_password", "nonsense"])
def test_another_plugin(mysql: RdsEmulator, plugin: str) -> None:
    """An account that is none of IAM's asks for a hash, and a token's is wrong."""
    mysql.gateway.switch_to = plugin
    number, _ = refused(mysql)
    assert number == (2059 if plugin == "nonsense" else 1045)
    assert not any(decision.granted for decision in mysql.decisions)


@pytest.mark.parametrize("which", ["other_host", "expired", "unrelated"])
def test_certificates(mysql: RdsEmulator, which: str) -> None:
    """A bad certificate ends it before the token."""
    mysql.gateway.certificate = getattr(mysql.certificates, which)()
    number, text = refused(mysql)
    assert number == 2003
    assert "CERTIFICATE_VERIFY_FAILED" in text
    assert mysql.decisions == []


def test_refuse_next(mysql: RdsEmulator) -> None:
    """So many logins are refused whatever their token says."""
    mysql.gateway.refuse_next = 2
    assert [refused(mysql)[0] for _ in range(2)] == [1045, 1045]
    works(mysql)
    assert [each.reason for each in mysql.decisions] == ["InternalError", "InternalError", None]


def test_a_ceiling(mysql: RdsEmulator) -> None:
    """IAM that throttles says what it says of every refused token."""
    mysql.gateway.ceiling = 1 / 3600
    try:
        works(mysql)
        number, text = refused(mysql)
    finally:
        mysql.gateway.ceiling = None
    assert number == 1045
    assert "Access denied" in text
    assert mysql.decisions[-1].reason == "ThrottlingException"


def test_tokens_that_are_cut(mysql: RdsEmulator) -> None:
    """A pooler that cuts passwords makes a good token a bad one."""
    mysql.gateway.longest_token = 255
    assert refused(mysql)[0] == 1045


def test_a_token_of_any_length(mysql: RdsEmulator) -> None:
    """What is too long for a token is refused as one, and not a matter of the protocol."""
    for size in (1, 251, 65_000):
        assert refused(mysql, password="x" * size)[0] == 1045


def test_a_delay(mysql: RdsEmulator) -> None:
    """Authentication takes so much longer."""
    mysql.gateway.auth_delay = 0.3
    begun = time.monotonic()
    works(mysql)
    assert time.monotonic() - begun >= 0.3


async def test_silence(mysql: RdsEmulator) -> None:
    """While it is not reachable nothing is said, not even a greeting; afterwards all goes on."""
    mysql._call(_set(mysql, reachable=False))
    try:
        reader, writer = await asyncio.open_connection(*mysql.address)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await reader.read(1)
    finally:
        mysql._call(_set(mysql, reachable=True))
    async with asyncio.timeout(SOON):
        assert await reader.read(1)
    writer.close()


async def _set(rds: RdsEmulator, *, reachable: bool) -> None:
    (rds.gateway.reachable.set if reachable else rds.gateway.reachable.clear)()


def test_refused_connections(mysql: RdsEmulator) -> None:
    """A port that is shut refuses, on every address, and the same one opens again."""

    async def change(*, is_open: bool) -> None:
        listener = mysql.gateway._listener
        (listener.open if is_open else listener.shut)()

    mysql._call(change(is_open=False))
    try:
        assert refused(mysql)[0] == 2003
    finally:
        mysql._call(change(is_open=True))
    works(mysql)


async def test_a_client_that_takes_its_time(mysql: RdsEmulator) -> None:
    """After the time for a login the connection is closed, as servers do it."""
    mysql.gateway.login_timeout = 0.2
    try:
        async with raw(mysql) as client:
            assert await client.outcome() == CLOSED
    finally:
        mysql.gateway.login_timeout = 60.0


async def test_many_clients_that_leave(mysql: RdsEmulator) -> None:
    """Clients that break off at any point leave nothing behind, and keep no one out."""
    for steps in range(4):
        for _ in range(5):
            async with raw(mysql, tls=steps > 0) as client:
                if steps > 1:
                    client.send(response().encode())
                if steps > 2:
                    await client.receive()
    works(mysql)
    async with raw(mysql) as client:
        client.send(response().encode())
        assert await client.outcome(sign(mysql.key, mysql.endpoint).encode()) == IN
