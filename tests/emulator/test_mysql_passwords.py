"""Users of MySQL with passwords: the real server decides, secrets hold and rotate them."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pymysql
import pytest
from mysql_support import IN, arguments, context_of, raw, response

from sqlalchemy_rds_iam.testing import CURRENT_FIRST, STEPS, RdsEmulator, Secret
from sqlalchemy_rds_iam.testing.mysql import wire

ALTERNATING = "alternating-users"


def login(rds: RdsEmulator, fields: dict[str, Any]) -> str | int:
    """Log in with the fields of a secret, over TLS; the account, or the number of the refusal."""
    given = {
        "host": fields["host"],
        "port": fields["port"],
        "user": fields["username"],
        # PyMySQL encodes in latin-1.
        "password": fields["password"].encode().decode("latin-1"),
        "database": fields["dbname"],
        "ssl": context_of(rds),
    }
    try:
        with contextlib.closing(pymysql.connect(**given)) as made, made.cursor() as cursor:
            cursor.execute("SELECT current_user()")
            return str(cursor.fetchone()[0])  # type: ignore[index]
    except pymysql.err.OperationalError as error:
        number: int = error.args[0]
        return number


@pytest.mark.parametrize("password", [None, "ä€ß", "q'u\"o\\te` %s", "x" * 200])
def test_a_secret_logs_in(mysql: RdsEmulator, password: str | None) -> None:
    """A secret's user logs in with its password, whatever that holds, and with no other."""
    secret = mysql.secrets.create("prod/app", "keeper", password=password)
    fields = secret.fields()
    assert fields["engine"] == "mysql"
    assert login(mysql, fields) == "keeper@%"
    assert login(mysql, fields | {"password": "wrong"}) == 1045
    assert login(mysql, fields | {"password": ""}) == 1045
    granted, *refused = mysql.decisions
    assert (granted.granted, granted.method) == (True, "password")
    assert {each.reason for each in refused} == {"PasswordAuthentication"}
    assert fields["password"] not in str(mysql.decisions)
    assert mysql.metrics["IamDbAuthConnectionRequests"] == 0


def test_the_words_of_a_refusal(mysql: RdsEmulator) -> None:
    """They name the client's own address, and not the one that the gateway comes from."""
    mysql.secrets.create("prod/app", "keeper")
    with pytest.raises(pymysql.err.OperationalError) as caught:
        pymysql.connect(**arguments(mysql, user="keeper", password="wrong"))
    said = "Access denied for user 'keeper'@'127.0.0.1' (using password: YES)"
    assert caught.value.args == (1045, said)


@pytest.mark.parametrize("strategy", ["single-user", ALTERNATING])
@pytest.mark.parametrize("steps", [STEPS, CURRENT_FIRST])
def test_a_rotation(mysql: RdsEmulator, strategy: Any, steps: Any) -> None:
    """After all steps the new version logs in; the one before does where another user has it.

    That one has the rights of the first, without which it could not enter the database.
    """
    secret = mysql.secrets.create("prod/app", "turning", database="turn", strategy=strategy)
    mysql.execute("CREATE OR REPLACE TABLE turn.t (n int)")
    for _ in range(3):
        assert list(secret.rotation(steps)) == list(steps)
        assert login(mysql, secret.fields()) == f"{secret.fields()['username']}@%"
        before = secret.fields("AWSPREVIOUS")
        expected = 1045 if strategy == "single-user" else f"{before['username']}@%"
        assert login(mysql, before) == expected
    mysql.execute("DROP DATABASE turn; DROP USER turning; DROP USER IF EXISTS turning_clone")


def test_managed(mysql: RdsEmulator) -> None:
    """A master user's secret holds only a name and a password."""
    secret = mysql.secrets.create_managed("manager")
    assert json.loads(str(secret.value())).keys() == {"username", "password"}
    place = dict(zip(("host", "port"), mysql.address, strict=True))
    assert login(mysql, secret.fields() | place | {"dbname": "test"}) == "manager@%"


def test_users_of_iam_have_no_passwords(mysql: RdsEmulator) -> None:
    """A secret is not made for one of them, nor for the emulator's own."""
    with pytest.raises(ValueError, match="'app' is an account of IAM"):
        mysql.secrets.create("prod/app", "app")
    with pytest.raises(ValueError, match="the emulator's own"):
        mysql.secrets.create("prod/app", "rdsadmin")


def test_a_user_without_iam(mysql: RdsEmulator) -> None:
    """A user that does not use IAM, any more or ever, has a password that is not known."""
    for name in ("never", "any_more"):
        mysql.create_user(name, iam=name == "any_more")
        mysql.create_user(name, iam=False)
        for password in ("", name, "x"):
            with pytest.raises(pymysql.err.OperationalError, match="1045"):
                pymysql.connect(**arguments(mysql, user=name) | {"password": password})
        assert {each.method for each in mysql.decisions} == {"password"}


@pytest.mark.parametrize("plugin", ["mysql_native_password", "caching_sha2_password", "unheard_of"])
@pytest.mark.parametrize("tls", [True, False])
async def test_the_server_asks(mysql: RdsEmulator, plugin: str, tls: bool) -> None:
    """Whatever a client begins with, the server's question and its answer come through."""
    password = mysql.secrets.create("prod/app", "keeper").fields()["password"].encode()
    async with raw(mysql, tls=tls) as client:
        begun = wire.native_answer(password, client.greeting.salt)
        answer = begun if plugin == wire.NATIVE_PASSWORD else b"x" * 32
        given = response("keeper", "test", plugin=plugin.encode(), password=answer)
        client.send(given.encode())
        assert await client.outcome(password) == IN


def test_refuse_next(mysql: RdsEmulator) -> None:
    """Logins by password are refused, too."""
    secret: Secret = mysql.secrets.create("prod/app", "keeper")
    mysql.gateway.refuse_next = 1
    assert login(mysql, secret.fields()) == 1045
    assert login(mysql, secret.fields()) == "keeper@%"
