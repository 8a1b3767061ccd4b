"""`token` and `async_token`: what a driver logs in with that SQLAlchemy does not know of."""

from __future__ import annotations

import asyncio
import inspect
import ssl
from collections.abc import Callable
from typing import Any

import asyncpg
import psycopg
import pytest
from families import BOTH, Words
from faults_support import Provider
from frames_support import frames, plain_texts
from sqlalchemy import URL

from sqlalchemy_rds_iam import (
    ConfigError,
    CredentialsError,
    async_token,
    token,
)
from sqlalchemy_rds_iam.testing import RdsEmulator

URL_ = "postgresql://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app"
Signs = Callable[..., str]


def _logs_in(rds: RdsEmulator, words: Words, password: str) -> bool:
    url = rds.url(words.sync)
    where: dict[str, Any] = {"host": url.host, "port": url.port, "user": "app"}
    if words.family == "mysql":
        pymysql = pytest.importorskip("pymysql")
        pymysql.connect(**where, password=password, ssl={"ca": str(rds.ca_file)}).close()
    else:
        tls = {"sslmode": "verify-ca", "sslrootcert": str(rds.ca_file)}
        psycopg.connect(**where, password=password, dbname="app", **tls).close()
    return rds.decisions[-1].granted


@BOTH
def test_logs_in(rds: RdsEmulator, words: Words, signs: Signs) -> None:
    """A driver that is used by itself logs in with it; it is masked where it is printed."""
    found = signs(rds.url(words.sync))
    assert _logs_in(rds, words, found)
    assert "X-Amz-Signature" in found
    assert repr(found) == f"<masked, {len(found)} characters>"


@pytest.mark.parametrize("drivername", ["psycopg", "asyncpg"])
def test_asked_by_the_driver(rds: RdsEmulator, drivername: str) -> None:
    """Each new connection of an asyncio driver asks for one, or the driver does so itself."""
    url = rds.url()
    where: dict[str, Any] = {"host": url.host, "port": url.port, "user": "app"}

    async def opened() -> None:
        if drivername == "asyncpg":
            tls = ssl.create_default_context(cafile=rds.ca_file)
            asking = {"password": lambda: async_token(url), "database": "app", "ssl": tls}
            async with asyncpg.create_pool(**where, **asking, min_size=2, max_size=2) as pool:
                assert await pool.fetchval("select current_user") == "app"
        else:
            tls = {"sslmode": "verify-ca", "sslrootcert": str(rds.ca_file), "dbname": "app"}
            for _ in range(2):
                password = await async_token(url)
                made = psycopg.AsyncConnection.connect(**where, **tls, password=password)
                await (await made).close()

    asyncio.run(opened())
    assert [each.granted for each in rds.decisions] == [True, True]


@pytest.mark.parametrize("written", ["postgresql", "mysql+asyncmy", "mysql+other", "mariadb"])
def test_of_any_driver(rds: RdsEmulator, signs: Signs, written: str) -> None:
    """No driver, CA file or plugin's name has to be there; options are as in the URL."""
    url = URL_.replace("postgresql", written)
    port = 5432 if written == "postgresql" else 3306
    assert f".amazonaws.com:{port}/?Action=connect&DBUser=app&" in signs(url)
    assert ":7777/?" in signs(f"{url}?plugin=rds_iam&rds_iam_port=7777")
    assert ":7778/?" in signs(f"{url}?plugin=rds_iam&rds_iam_port=7777", rds_iam_port=7778)
    del rds


@pytest.mark.parametrize(
    ("url", "options", "sentence"),
    [
        (None, {}, "the URL cannot be read: expected postgresql"),
        ("nonsense", {}, "the URL cannot be read: expected postgresql"),
        ("postgresql://app:sesame@h:x/d", {}, "the URL cannot be read"),
        (URL_.replace("app@", "app:sesame@"), {}, "there is a password in the URL"),
        (f"{URL_}?password=sesame", {}, "there is a password in the URL"),
        ("sqlite://", {}, "begins with sqlite://: expected postgresql://"),
        (URL_.replace("app@", ""), {}, "names no database user"),
        (f"{URL_}?plugin=rds_secret&rds_secret_id=x", {}, "this is about tokens"),
        (f"{URL_}?plugin=rds_iam&rds_iam_regoin=x", {}, "did you mean rds_iam_region?"),
        (URL_, {"rds_iam_enabled": False}, "rds_iam_enabled=off"),
        (URL_, {"rds_iam_timeout": "never"}, "rds_iam_timeout='never': expected a number"),
        (URL_, {"rds_iam_session": 1}, "rds_iam_session=1: expected"),
        (URL_, {"profile": "x"}, r"profile=…: expected an option .* rds_iam_profile"),
        (URL_, {"password": "sesame"}, "password=…: expected an option"),
    ],
)
def test_called_wrongly(signs: Signs, url: Any, options: dict[str, Any], sentence: str) -> None:
    """What cannot work is an error that names it, and shows no secret, in its frames either."""
    with pytest.raises(ConfigError, match=sentence) as failed:
        signs(url, **options)
    error = failed.value
    ours = [frame for frame in frames(error) if "sqlalchemy" in frame.f_code.co_filename]
    shown = [repr(value) for frame in ours for value in dict(frame.f_locals).values()]
    assert ours
    assert "sesame" not in "".join([str(error), *shown])


def test_no_token_in_frames(
    container: Provider, rds: RdsEmulator, signs: Signs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage is the plugin's own error, with its cause, and is over when it is over."""
    container.fail("500", monkeypatch)
    with pytest.raises(CredentialsError) as failed:
        signs(rds.url(), rds_iam_failure_ttl=0)
    assert failed.value.retryable
    texts = (each for frame in frames(failed.value) for each in plain_texts(frame.f_locals))
    assert not [each for each in texts if "X-Amz-Signature=" in each]
    container.recover(monkeypatch)
    assert "X-Amz-Signature" in signs(rds.url(), rds_iam_failure_ttl=0)


@pytest.mark.aiobotocore
def test_a_session_of_aiobotocore(rds: RdsEmulator) -> None:
    """The coroutine awaits it; the function says what to do instead."""
    from aiobotocore.session import get_session

    session = get_session()
    assert rds.key.access_key in asyncio.run(async_token(URL_, rds_iam_session=session))
    with pytest.raises(ConfigError, match=r"only async_token\(\) can await"):
        token(URL_, rds_iam_session=session)
    assert rds.key.access_key in token(f"{URL_}?rds_iam_credentials=aiobotocore")


def test_cname(rds: RdsEmulator, signs: Signs) -> None:
    """Where a CNAME leads as of now is what a token is signed for."""
    pytest.importorskip("dns", reason="dnspython is not installed")
    from dns_support import dns_server

    url = URL.create("postgresql", "app", host="db.example.com", database="app")
    with dns_server() as server:
        server.point("db.example.com", "blue.abc123.us-east-1.rds.amazonaws.com")
        assert signs(url, rds_iam_resolve_cname="on").startswith("blue.abc123.us-east-1")
        assert signs(url, rds_iam_resolve_cname="on").startswith("blue.abc123.us-east-1")
        assert server.questions == ["db.example.com"]
    del rds


def test_the_same_signature() -> None:
    """Both take the same, and say so by their signatures."""
    sync, asynchronous = inspect.signature(token), inspect.signature(async_token)
    assert sync == asynchronous
