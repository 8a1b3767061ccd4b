"""A container's credentials without botocore: when, how long, and what is left of it."""

from __future__ import annotations

import asyncio
import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from container_support import KEYS, PATH, FakeAgent, chunked, document, fake_agent, good, in_seconds
from patience import DEADLINE, eventually

from sqlalchemy_rds_iam._aws import container_agent
from sqlalchemy_rds_iam._aws.container import from_container
from sqlalchemy_rds_iam._aws.container_agent import Agent
from sqlalchemy_rds_iam._aws.credentials import AwsSource
from sqlalchemy_rds_iam._aws.identity_key import PATHS, SELECTORS
from sqlalchemy_rds_iam._concurrency import call_with_timeout

FULL = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
TOKEN, TOKEN_FILE = "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
OF_THE_CONTAINER = {FULL, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", TOKEN, TOKEN_FILE}
HARMLESS = {
    *("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_STS_REGIONAL_ENDPOINTS"),
    *("AWS_EXECUTION_ENV", "AWS_EC2_METADATA_DISABLED", "AWS_LAMBDA_FUNCTION_NAME"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    # Files that are not there; and whom to trust, where nothing is encrypted.
    *("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "REQUESTS_CA_BUNDLE"),
}


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAgent]:
    """An agent, and an environment that leads to it."""
    monkeypatch.setattr(container_agent, "DEADLINE", DEADLINE)  # on a machine that is busy
    with fake_agent() as found:
        monkeypatch.setenv(FULL, found.url + PATH)
        yield found


def test_a_container(agent: FakeAgent) -> None:
    """Keys, session token and expiry, and botocore's name of where they are from."""
    agent.answers = [good(document(Expiration="2099-01-31T12:00:00Z"))]
    found = from_container()
    assert found is not None
    assert [found.access_key, found.secret_key, found.session_token] == [*KEYS.values()]
    assert (found.expires_at, found.provider) == (4073544000.0, "container-role")
    assert len(agent.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        chunked(document()),
        b"HTTP/1.0 200 OK\r\n\r\n" + document(),
        good(document(AccountId="123456789012")),
        good(document(Expiration="2099-01-31T12:00:00.123456Z")),
        good(document(Token="x" * 20000)),
        b"HTTP/1.1 100 Continue\r\n\r\n" + good(),
    ],
)
def test_what_is_usual(agent: FakeAgent, answer: bytes) -> None:
    """Whatever agents send is understood without botocore."""
    agent.answers = [answer]
    assert from_container() is not None


@pytest.mark.parametrize(("left", "asked"), [(60, 2), (880, 2), (1000, 1)])
def test_soon_over(agent: FakeAgent, left: int, asked: int) -> None:
    """What has less than 15 minutes left is asked for again, as by botocore."""
    first = document(Expiration=in_seconds(left))
    agent.answers = [good(first), good(document(AccessKeyId="ASIASECOND"))]
    found = from_container()
    assert found is not None
    assert (found.access_key == "ASIASECOND", len(agent.requests)) == (asked == 2, asked)


@pytest.mark.parametrize("name", sorted({*SELECTORS, *PATHS, *HARMLESS} - OF_THE_CONTAINER))
def test_anything_else(agent: FakeAgent, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """With any other variable that may lead elsewhere botocore is asked, and nothing else is."""
    monkeypatch.setenv(name, "/nowhere")
    assert (from_container() is None) == (name not in HARMLESS)
    assert len(agent.requests) == (1 if name in HARMLESS else 0)
    monkeypatch.setenv(name, " ")  # not given
    assert from_container() is not None


@pytest.mark.parametrize("file", [".aws/config", ".aws/credentials", ".boto"])
def test_any_file(agent: FakeAgent, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    """With a file that botocore would read, botocore is asked, wherever the file is."""
    there = Path.home() / file
    there.parent.mkdir(exist_ok=True)
    there.touch()
    assert from_container() is None
    monkeypatch.setenv("AWS_CONFIG_FILE", str(there))
    monkeypatch.setenv("HOME", "/nowhere")
    assert from_container() is None
    monkeypatch.delenv("AWS_CONFIG_FILE")
    assert from_container() is not None


def test_not_where_more_is_asked_for(agent: FakeAgent) -> None:
    """A profile or a session leads past the container."""
    assert AwsSource(None)._plain() is not None
    assert AwsSource("reporting")._plain() is None
    assert AwsSource(None, session=object())._plain() is None
    assert len(agent.requests) == 1


def test_keys_come_first(agent: FakeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys in the environment do, as with botocore; and half of them is botocore's to refuse."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    assert AwsSource(None)._plain() is None
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    plain = AwsSource(None)._plain()
    assert plain is not None
    assert (plain.provider, agent.requests) == ("env", [])


def test_a_token_that_rotates(
    agent: FakeAgent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The token's file is read for each fetch, and comes before the token itself."""
    monkeypatch.setenv(TOKEN, "of-the-variable")
    monkeypatch.setenv(TOKEN_FILE, str(tmp_path / "token"))
    for token in ("first", "second"):
        (tmp_path / "token").write_text(token)
        assert from_container() is not None
        assert f"\r\nAuthorization: {token}\r\n".encode() in agent.requests[-1]


@pytest.mark.parametrize("content", [None, b"token\n", b"tok\ren", b"\xff", b"", b"x" * 70000])
def test_a_token_that_is_none(
    agent: FakeAgent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    """A file without a token, or with what no header may have, is botocore's to refuse."""
    (tmp_path / "token").mkdir() if content is None else (tmp_path / "token").write_bytes(content)
    monkeypatch.setenv(TOKEN_FILE, str(tmp_path / "token"))
    assert from_container() is None
    assert agent.requests == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this platform")
def test_a_token_in_a_pipe(
    agent: FakeAgent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A pipe is not opened, which may take for ever: botocore is asked."""
    os.mkfifo(tmp_path / "token")
    monkeypatch.setenv(TOKEN_FILE, str(tmp_path / "token"))
    assert call_with_timeout(DEADLINE, from_container) is None
    assert agent.requests == []


def test_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent may have an address of IPv6, as that of EKS has."""
    try:
        with fake_agent("::1") as agent:
            monkeypatch.setenv(FULL, agent.url + PATH)
            assert from_container() is not None
            assert f"\r\nHost: [::1]:{agent.port}\r\n".encode() in agent.requests[0]
    except OSError:
        pytest.skip("there is no IPv6 here")


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.170.2/v2/credentials/id",
        "http://169.254.170.23/v1/credentials",
        "http://[fd00:ec2::23]/v1/credentials",
    ],
)
def test_addresses_of_agents(url: str) -> None:
    """The addresses of ECS and EKS are asked; no neighbour of theirs is."""
    from sqlalchemy_rds_iam._aws.container import _agent

    found = _agent({FULL: url})
    assert found is not None
    assert (found.host in url, found.port, url.endswith(found.path)) == (True, 80, True)
    assert _agent({FULL: url.replace("2/", "4/").replace("23", "24")}) is None
    assert _agent({FULL: url.replace("http:", "https:")}) is None
    assert _agent({FULL: url.replace("/v", "//v")}) is None


def test_the_address_of_ecs() -> None:
    """A relative URI is one of the agent of ECS, and comes before a full one."""
    from sqlalchemy_rds_iam._aws.container import _agent

    relative = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/id"}
    expected = Agent("169.254.170.2", 80, "/v2/credentials/id", None, None)
    assert _agent(relative | {FULL: "http://localhost/other"}) == expected


@pytest.mark.parametrize("answer", [None, b"H", b"\n"])
def test_deadline(agent: FakeAgent, monkeypatch: pytest.MonkeyPatch, answer: bytes | None) -> None:
    """An agent that never answers, or a byte at a time, is given up; nothing stays open."""
    monkeypatch.setattr(container_agent, "DEADLINE", 0.1)
    agent.answers = [answer]
    assert from_container() is None
    eventually(lambda: len(agent.left) == 1, "the connection stays open")


def test_an_endless_answer(agent: FakeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is read than any answer has, and interim ones are read in time or not at all."""
    agent.answers = [b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (1 << 24) + document()]
    assert from_container() is None
    monkeypatch.setattr(container_agent, "DEADLINE", 0.1)
    agent.answers = [b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000_000 + good()]
    assert from_container() is None


def test_no_secret_is_shown(
    agent: FakeAgent,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not by http.client, however much of it the application has printed; and not by repr()."""
    caplog.set_level("DEBUG")
    monkeypatch.setenv(TOKEN, "canary-of-the-authorization")
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 9)
    found = from_container()
    assert found is not None
    shown = "".join([*capsys.readouterr(), caplog.text, repr(found)])
    assert "canary" not in shown + repr(Agent("h", 80, "/", "canary", None))


def test_async(agent: FakeAgent) -> None:
    """Before an async fetch it is done in the thread; what it has found is used once."""

    async def fetch() -> None:
        source, loop = AwsSource(None), asyncio.get_running_loop()
        await asyncio.to_thread(source.prepare_async, loop, reload=False)
        found = await source.fetch_async()
        assert (found.provider, len(agent.requests)) == ("container-role", 1)
        await asyncio.to_thread(source.prepare_async, loop, reload=False)
        assert len(agent.requests) == 2
        source.reset()
        assert not source._ready

    asyncio.run(fetch())


def test_imports(agent: FakeAgent) -> None:
    """Neither SDK is imported; and nothing at all once the request has begun, with forks about."""
    script = """
import sys
from sqlalchemy_rds_iam._aws import container_agent
from sqlalchemy_rds_iam._aws.container import from_container
connect = container_agent._connected
def connected(*arguments):
    global before
    before = set(sys.modules)
    return connect(*arguments)
container_agent._connected = connected
assert from_container() is not None
print(sorted(set(sys.modules) - before), "botocore" in sys.modules, "aiobotocore" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    assert done.stdout.strip() == "[] False False"
