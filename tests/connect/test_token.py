"""`token` and `async_token`: what a driver logs in with that SQLAlchemy does not know of."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
from events_support import Seen
from families import BOTH, Words
from faults_support import Clock, Provider
from frames_support import frames, plain_texts
from patience import DEADLINE, eventually_async
from soak.children import Child, held
from sqlalchemy import URL, create_engine, text

from sqlalchemy_rds_iam import (
    ConfigError,
    CredentialsError,
    WaitTimeout,
    _token,
    async_token,
    plugin,
    token,
)
from sqlalchemy_rds_iam.testing import RdsEmulator

URL_ = "postgresql://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app"
Signs = Callable[..., str]


@pytest.fixture(params=[token, async_token], ids=["sync", "async"])
def signs(request: pytest.FixtureRequest) -> Signs:
    """Either function, as one that is called."""
    if request.param is token:
        return token
    return lambda *args, **options: asyncio.run(async_token(*args, **options))


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


def test_one_cache(
    container: Provider,
    rds: RdsEmulator,
    signs: Signs,
    seen: Seen,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One fetch is enough for all calls, for other endpoints, and for an engine."""
    monkeypatch.setattr(container.service, "lifetime", 3600.0)
    url, before = rds.url(), container.calls
    first = signs(url)
    gc.collect()
    assert signs(url.render_as_string()) is first
    other = signs(url, rds_iam_port="7777", rds_iam_on_event=seen)
    assert other.startswith(f"{rds.endpoint.host}:7777/?")
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.scalar(text("select current_user")) == "app"
    engine.dispose()
    assert container.calls == before + 1
    assert seen.kinds == ["minted"]


def test_renewed(
    container: Provider,
    clock: Clock,
    rds: RdsEmulator,
    signs: Signs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A token that would end soon is not handed out, nor one of credentials that have ended."""
    monkeypatch.setattr(container.service, "lifetime", 3600.0)
    found, before = [], container.calls
    for _ in range(3):
        found.append(signs(rds.url()))
        clock.offset += 3600
    assert len(set(found)) == len(found)
    assert container.calls == before + len(found)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_one_flight(
    container: Provider, rds: RdsEmulator, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers that come at once, each for a URL and a user of its own, wait for the same fetch."""
    monkeypatch.setattr(container.service, "lifetime", 3600.0)
    urls, before = [rds.url(user=f"user{number}") for number in range(8)], container.calls

    async def asked() -> list[str]:
        signing = [asyncio.ensure_future(async_token(url)) for url in urls]
        await eventually_async(gate.reached.is_set, "no fetch")
        gate.open()
        return await asyncio.gather(*signing)

    with container.held(1) as gate:
        if is_async:
            found = asyncio.run(asked())
        else:
            with ThreadPoolExecutor(len(urls)) as pool:
                signing = [pool.submit(token, url) for url in urls]
                assert gate.reached.wait(DEADLINE)
                gate.open()
                found = [each.result(DEADLINE) for each in signing]
    assert all(f"DBUser={url.username}&" in each for url, each in zip(urls, found, strict=True))
    assert container.calls == before + 1


def test_in_time(container: Provider, rds: RdsEmulator, signs: Signs) -> None:
    """A provider that does not answer is waited for as long as the option says, and it says so."""
    with container.held(), pytest.raises(WaitTimeout, match=r"within 0.2 s \(rds_iam_timeout\)"):
        signs(rds.url(), rds_iam_timeout=0.2)


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


def test_another_environment(
    rds: RdsEmulator, signs: Signs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys that are exchanged in the environment, or by an option, sign from then on."""
    first = signs(URL_)
    other = rds.identities.issue(rds.key.principal)
    for name, value in other.environ().items():
        monkeypatch.setenv(name, value)
    assert rds.key.access_key in first
    assert other.access_key in signs(URL_)
    role = rds.identities.role("orders")
    assert "X-Amz-Security-Token" in signs(URL_, rds_iam_role_arn=role.arn)


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


def test_the_loop_goes_on(
    rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """While credentials are fetched the event loop runs: it is what lets the fetch end."""
    gate, keys = tmp_path / "gate", tmp_path / "keys"
    keys.write_text(
        f'{{"Version": 1, "AccessKeyId": "{rds.key.access_key}", '
        f'"SecretAccessKey": "{rds.key.secret_key}"}}'
    )
    script = tmp_path / "credentials"
    script.write_text(f"while [ ! -e {gate} ]; do sleep 0.01; done; cat {keys}\n")
    config = tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = sh {script}\n")
    for name in rds.key.environ():
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))

    async def opened() -> str:
        signing = asyncio.ensure_future(async_token(URL_))
        done, _ = await asyncio.wait([signing], timeout=0.05)
        assert not done
        with pytest.raises(WaitTimeout, match=r"within 0.1 s \(rds_iam_timeout\)"):
            await async_token(URL_, rds_iam_timeout=0.1)
        gate.touch()
        return await asyncio.wait_for(signing, DEADLINE)

    assert rds.key.access_key in asyncio.run(opened())


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


# Python 3.12 and newer warn of every fork of a process with threads.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forked(rds: RdsEmulator, signs: Signs) -> None:
    """A child signs, too, whatever its parent remembers and is about to do."""
    signs(URL_)
    with held(plugin._identities._lock):
        child = Child(lambda: rds.key.access_key in signs(f"{URL_}?rds_iam_port=7777"))
    assert child.result() is True


def test_remembered(rds: RdsEmulator, signs: Signs) -> None:
    """What is equal is the same again, such as a bound method, and what has no hash works, too."""

    class Hook(list[Any]):
        def __call__(self, event: Any) -> None:
            self.append(event)

    class Bound:
        def hook(self, event: Any) -> None:
            hook(event)

    hook, bound, sizes = Hook(), Bound(), []
    for find in (lambda: hook, lambda: bound.hook):
        for _ in range(2):
            assert rds.key.access_key in signs(URL_, rds_iam_on_event=find())
            sizes.append(_token._remembered.cache_info().currsize)
    assert sizes == [1, 1, 2, 2]


def test_the_same_signature() -> None:
    """Both take the same, and say so by their signatures."""
    sync, asynchronous = inspect.signature(token), inspect.signature(async_token)
    assert sync == asynchronous
