"""MySQL's drivers log in with a token over verified TLS, else they are refused in RDS's words."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import pymysql
import pytest
from emulator_support import sign
from mysql_support import IN, arguments, raw, response

from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.mysql import wire

WHO = "SELECT current_user(), database(), connection_id()"

# What each takes for the CA, of a file or as a context; its words for all else are PyMySQL's.
_VERIFIED: dict[str, Callable[[str], dict[str, Any]]] = {
    "MySQLdb": lambda ca: {"ssl_mode": "VERIFY_IDENTITY", "ssl": {"ca": ca}},
    "mysql.connector": lambda ca: {
        "ssl_ca": ca,
        "ssl_verify_cert": True,
        "ssl_verify_identity": True,
        "auth_plugin": "mysql_clear_password",
    },
    "mariadb": lambda ca: {"ssl": True, "ssl_ca": ca, "ssl_verify_cert": True},
}
_PYTHON = ("pymysql", "asyncmy", "aiomysql")


async def who(rds: RdsEmulator, module: str, **changes: Any) -> Any:
    """Log in with a driver, which verifies the address or name, and say as whom and where."""
    driver = pytest.importorskip(module)
    given = arguments(rds, **changes)
    if module in _PYTHON:
        if module == "aiomysql":
            given["db"] = given.pop("database")
        connection = driver.connect(**given)
        if module == "pymysql":
            with contextlib.closing(connection), connection.cursor() as cursor:
                cursor.execute(WHO)
                return cursor.fetchone()
        connection = await connection
        try:
            async with connection.cursor() as cursor:
                await cursor.execute(WHO)
                return await cursor.fetchone()
        finally:
            connection.close()
    host, port = rds.gateway.addresses[-1]
    if host not in rds.endpoint.aliases:
        pytest.skip(f"{module} verifies the address it dials, and there is no 127.0.0.2 here")
    del given["ssl"]
    here = dataclasses.replace(rds.endpoint, host=host)
    given |= {"host": host, "port": port, "password": sign(rds.key, here)}
    with contextlib.closing(driver.connect(**given, **_VERIFIED[module](str(rds.ca_file)))) as made:
        cursor = made.cursor()
        cursor.execute(WHO)
        return cursor.fetchone()


EVERY = pytest.mark.parametrize("module", [*_PYTHON, *_VERIFIED])


@pytest.fixture(
    params=[
        None,
        "mysql_native_password",
        "caching_sha2_password",
        "mysql_clear_password",
        "sha256_password",
    ]
)
def first_plugin(request: pytest.FixtureRequest, mysql: RdsEmulator) -> Iterator[str | None]:
    """What the greeting names: with the last but one some drivers send the token at once."""
    mysql.gateway.default_plugin = request.param
    return request.param  # type: ignore[no-any-return]


@EVERY
async def test_every_driver(mysql: RdsEmulator, module: str, first_plugin: str | None) -> None:
    """Each is let in whichever packet its token comes in, over TLS, and is who it says it is."""
    if (module, first_plugin) == ("asyncmy", "sha256_password") and version(module) == "0.2.10":
        pytest.skip("this version of asyncmy fails with an AttributeError at such a greeting")
    user, database, _ = await who(mysql, module)
    assert (user, database) == ("app@%", "app")
    [decision] = mysql.decisions
    assert (decision.granted, decision.in_clear, decision.method) == (True, False, "iam")
    assert decision.db_user == "app"


def test_the_number_of_the_session(mysql: RdsEmulator) -> None:
    """The greeting says the number that the session has, so that a client can end its query."""
    with (
        contextlib.closing(pymysql.connect(**arguments(mysql))) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT connection_id()")
        assert cursor.fetchone() == (connection.thread_id(),)


def test_a_refused_token(mysql: RdsEmulator) -> None:
    """A refusal has RDS's number, SQLSTATE and words, with the client's own address."""
    with pytest.raises(pymysql.err.OperationalError) as caught:
        pymysql.connect(**arguments(mysql, password="none of IAM's"))
    said = "Access denied for user 'app'@'127.0.0.1' (using password: YES)"
    assert caught.value.args == (1045, said)
    assert caught.value.sqlstate == "28000"
    [decision] = mysql.decisions
    assert (decision.granted, decision.reason) == (False, "InvalidToken")
    assert mysql.metrics["IamDbAuthConnectionFailureInvalidToken"] == 1


@pytest.mark.parametrize("what", ["user", "host", "port", "expired", "region"])
def test_signed_for_something_else(mysql: RdsEmulator, what: str) -> None:
    """The same verifier as PostgreSQL's looks at the token: what it is for, and how old it is."""
    endpoint, user = mysql.endpoint, "app"
    match what:
        case "user":
            user = "other"
        case "host":
            endpoint = dataclasses.replace(endpoint, host="other." + endpoint.host)
        case "port":
            endpoint = dataclasses.replace(endpoint, port=5432)
        case "region":
            endpoint = dataclasses.replace(endpoint, region="eu-central-1")
    token = sign(mysql.key, endpoint, user)
    mysql.clock_offset = 1000 if what == "expired" else 0
    with pytest.raises(pymysql.err.OperationalError, match="1045"):
        pymysql.connect(**arguments(mysql, password=token))
    [decision] = mysql.decisions
    assert decision.reason == ("ExpiredToken" if what == "expired" else "InvalidToken")


@pytest.mark.parametrize(
    ("database", "expected"),
    [(None, None), ("app", "app"), ("nowhere", 1044), ("mysql", 1044), ("a`b'c", 1044)],
)
def test_the_database(mysql: RdsEmulator, database: str | None, expected: object) -> None:
    """None at all is as good; what the user may not enter is 1044, and the token was good."""
    if expected == 1044:
        with pytest.raises(pymysql.err.OperationalError) as caught:
            pymysql.connect(**arguments(mysql, database=database))
        assert caught.value.args[0] == 1044
        assert "Access denied for user 'app'@'%' to database" in caught.value.args[1]
    else:
        with (
            contextlib.closing(
                pymysql.connect(**arguments(mysql, database=database))
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT database()")
            assert cursor.fetchone() == (expected,)
    assert [decision.granted for decision in mysql.decisions] == [True]


@pytest.mark.parametrize("place", ["asked", "at once"])
async def test_a_token_in_clear(mysql: RdsEmulator, place: str) -> None:
    """Without TLS a server takes the token and says 1045 then: it is refused, and remembered."""
    token = sign(mysql.key, mysql.endpoint).encode()
    async with raw(mysql, tls=False) as client:
        if place == "at once":
            given = response(
                capabilities=response().capabilities | wire.PLUGIN_AUTH_LENENC,
                plugin=wire.CLEAR_PASSWORD.encode(),
            )
            size = b"\xfc" + (len(token) + 1).to_bytes(2, "little")
            cut = given.encode().index(b"app\0\0") + 4
            encoded = given.encode()
            client.send(encoded[:cut] + size + token + b"\0" + encoded[cut + 1 :])
            assert (await client.outcome())[0] == 1045
        else:
            client.send(response().encode())
            assert await client.receive() == wire.switch(wire.CLEAR_PASSWORD)
            client.send(token + b"\0")
            assert (await client.outcome())[:2] == (1045, "28000")
    [decision] = mysql.decisions
    assert (decision.granted, decision.in_clear) == (False, True)


@pytest.mark.parametrize("number", [0, 1, 3, 255])
async def test_the_numbers_of_packets(mysql: RdsEmulator, number: int) -> None:
    """A packet that is out of turn ends the login, as at a server; ours are always in turn."""
    async with raw(mysql) as client:
        client.number = number - 1
        client.send(response().encode())
        assert (await client.outcome())[0] == 1156
    async with raw(mysql) as client:
        client.send(response().encode())
        assert client.number == 2
        await client.receive()
        assert client.number == 3
        client.send(b"x\0")
        assert (await client.outcome())[0] == 1045
        assert client.number == 5


async def test_the_switch_is_that_of_a_server(mysql: RdsEmulator) -> None:
    """It names the plugin, and nothing else, as MariaDB's and Aurora's do."""
    async with raw(mysql) as client:
        client.send(response().encode())
        assert await client.receive() == b"\xfemysql_clear_password\0"
        client.send(sign(mysql.key, mysql.endpoint).encode() + b"\0")
        assert await client.outcome() == IN
        assert client.number == 5


async def test_the_greeting_is_the_servers(mysql: RdsEmulator) -> None:
    """Version and capabilities are those of the real server, with TLS and without compression."""
    [(version,)] = mysql.execute("SELECT version()")
    async with raw(mysql, tls=False) as client:
        greeting = client.greeting
    assert greeting.version.decode().removeprefix("5.5.5-") == version
    assert greeting.capabilities & wire.SSL
    assert not greeting.capabilities & (wire.COMPRESS | wire.ZSTD_COMPRESSION)
    assert greeting.encode() == client.raw_greeting


def test_no_way_around_the_gateway(mysql: RdsEmulator) -> None:
    """An account of IAM has no password that a client could know, nor does the emulator's own."""
    for user in ("app", "rdsadmin", "root", "mariadb.sys", ""):
        for password in ("", "app", user):
            with pytest.raises(pymysql.err.OperationalError, match=r"1045|4151"):
                pymysql.connect(
                    **arguments(mysql, database=None, user=user) | {"password": password}
                )


def test_a_name_that_needs_quotes(mysql: RdsEmulator) -> None:
    """Users may have any name that MySQL's may."""
    for name in ("o'neill", 'do"uble', "back`tick", "back\\slash", "ünï", "per%cent_"):
        mysql.create_user(name)
        token = sign(mysql.key, mysql.endpoint, name)
        # PyMySQL sends names in UTF-8, whatever it sends passwords in.
        with (
            contextlib.closing(
                pymysql.connect(**arguments(mysql, user=name, password=token, database=None))
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT user()")
            assert cursor.fetchone() == (f"{name}@localhost",)
        mysql.execute(f"DROP USER {wire.quote_identifier(name)}@'%'")


def test_the_modules_are_there() -> None:
    """None of those that every installation for development has is passed over by mistake."""
    for module in ("pymysql", "asyncmy", "aiomysql", "mysql.connector"):
        importlib.import_module(module)
