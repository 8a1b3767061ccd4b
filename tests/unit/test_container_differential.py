"""A container's credentials without botocore are botocore's, and every doubt goes to botocore."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore.utils
import pytest
from container_support import KEYS, PATH, FakeAgent, chunked, document, fake_agent, good, in_seconds
from hypothesis import example, given, settings
from hypothesis import strategies as st
from patience import DEADLINE

from sqlalchemy_rds_iam import CredentialsError
from sqlalchemy_rds_iam._aws import container, container_agent, credentials
from sqlalchemy_rds_iam._aws.container import from_container
from sqlalchemy_rds_iam._aws.credentials import AwsSource
from sqlalchemy_rds_iam._aws.sessions import botocore_session
from sqlalchemy_rds_iam._aws.sigv4 import Credentials

RELATIVE, FULL = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"
TOKEN, TOKEN_FILE = "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"


@pytest.fixture(scope="module")
def agent() -> Iterator[FakeAgent]:
    """An agent where ECS has its own, for both, which wait for it on a machine that is busy.

    botocore does not sleep between its tries.
    """
    fetcher = botocore.utils.ContainerMetadataFetcher
    with fake_agent() as found, pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetcher, "SLEEP_TIME", 0)
        patch.setattr(fetcher, "TIMEOUT_SECONDS", DEADLINE)
        patch.setattr(container_agent, "DEADLINE", DEADLINE)
        patch.setattr(fetcher, "IP_ADDRESS", found.url.removeprefix("http://"))
        patch.setattr(container, "_ECS", found.url)
        yield found


def botocores() -> Credentials:
    """What botocore finds, in a session of ours, for which empty variables are not set."""
    found = botocore_session(None).get_credentials()
    frozen = found.get_frozen_credentials()
    return Credentials(*frozen[:3], found._expiry_time.timestamp(), found.method)


def asked(agent: FakeAgent) -> list[list[bytes]]:
    """The requests, as far as an agent looks at them."""
    shown = (b"get ", b"host:", b"accept:", b"authorization:")
    return [
        sorted(line for line in request.splitlines() if line.lower().startswith(shown))
        for request in agent.requests
    ]


# --- environments

PATHS = (PATH, f"{PATH}?id=7&x=a/b", "v1", "//v1", "/v1/../a", "/a;b", "/%7e", "/é", "/a b", "/a#b")
URLS = (
    *(f"{{}}{path}" for path in PATHS),
    *("http://localhost:{port}/v1", "http://127.0.0.2:{port}/v1", "http://127.1:{port}/v1"),
    *("http://user@127.0.0.1:{port}/v1", "HTTP://127.0.0.1:{port}/v1", "{}", "http://127.0.0.1/"),
    *("http://192.0.2.1:{port}/v1", "http://169.254.170.2.example.com/v1", "http://[::1/v1"),
    *("https://127.0.0.1:{port}/v1", "http://127.0.0.1:{port}{port}/v1", "ftp://127.0.0.1/v1"),
)
GOOD = good()
TOKENS = ("token", "Bearer a.b-c", " token", "token\n", "tok\ren", "é", "\x7f")
OTHERS = (
    *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_DATA_PATH", "AWS_CREDENTIAL_FILE", "AWS_ROLE_ARN"),
    *("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_SECRET_ACCESS_KEY", "AWS_METADATA_SERVICE_TIMEOUT"),
    *("BOTO_CONFIG", "BOTOCORE_EXPERIMENTAL__PLUGINS", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"),
    *("AWS_MAX_ATTEMPTS", "AWS_CA_BUNDLE", "AWS_SOMETHING_OF_NEXT_YEAR", "AWS_ACCESS_KEY_ID"),
)
HARMLESS = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV", "AWS_STS_REGIONAL_ENDPOINTS")
ELSEWHERE = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE")
FILES = (".aws/config", ".aws/credentials", ".boto")


def _maybe(*values: str) -> st.SearchStrategy[str | None]:
    """Nothing, an empty text, or one of some values, more often the first."""
    usual: tuple[str | None, ...] = (None, None, values[0], values[0])
    return st.one_of(st.sampled_from(usual), st.sampled_from(("", " ", *values)))


ENVIRONMENTS = st.fixed_dictionaries(
    {
        RELATIVE: _maybe(*PATHS),
        FULL: _maybe(*URLS),
        TOKEN: _maybe(*TOKENS),
        TOKEN_FILE: _maybe("{home}/token", "{home}/token\n", "{home}/none", "{home}"),
        **{name: _maybe("eu-west-1") for name in HARMLESS},
        **{name: _maybe("http://192.0.2.1:9") for name in ELSEWHERE},
    }
)
# Mostly nothing else is there.
SELDOM = st.one_of(st.just({}), st.dictionaries(st.sampled_from(OTHERS), st.just("1"), max_size=1))
PRESENT = st.one_of(st.just(()), st.tuples(st.sampled_from(FILES)))


@settings(max_examples=100)
@given(environ=ENVIRONMENTS, others=SELDOM, files=PRESENT)
@example(environ={RELATIVE: PATH}, others={}, files=())
@example(environ={FULL: "{}" + PATH, TOKEN: "token"}, others={}, files=())
@example(environ={FULL: "{}" + PATH, TOKEN_FILE: "{home}/token", TOKEN: "x"}, others={}, files=())
def test_environments(
    agent: FakeAgent,
    tmp_path_factory: Any,
    environ: Mapping[str, str | None],
    others: Mapping[str, str],
    files: tuple[str, ...],
) -> None:
    """What is found without botocore, botocore finds by the same request, and nothing else."""
    home = tmp_path_factory.mktemp("home")
    (home / "token").write_text("from-the-file")
    for name in files:
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text("[default]\nregion = eu-west-1\n")
    agent.reset([GOOD])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        for name, value in itertools.chain(environ.items(), others.items()):
            if value is not None:
                text = value.replace("{home}", str(home)).replace("{port}", str(agent.port))
                patch.setenv(name, text.replace("{}", agent.url))
        found = from_container()
        if found is None:
            return
        mine = asked(agent)
        agent.reset([GOOD])
        assert (others, files) == ({}, ())
        assert botocores() == found
        assert asked(agent) == mine


# --- answers

MOMENTS = (
    *(in_seconds(seconds) for seconds in (-1, 30, 600, 1200, 30000)),
    *("2099-01-31T12:00:00.5Z", "2099-01-31T12:00:00.123456Z", "2099-01-31T12:00:00.1234567Z"),
    *("2099-01-31T24:00:00Z", "2099-02-30T12:00:00Z", "2099-01-31T12:00:00", "2099-01-31"),
    *("2099-01-31T12:00:00+02:00", "4000000000", "Sat, 31 Jan 2099 12:00:00 GMT", "soon"),
    "٢٠٩٩-01-31T12:00:00Z",
)
VALUES = st.one_of(
    st.sampled_from([*KEYS.values(), *MOMENTS, "", " key", "key\n", "\ud800"]),
    st.text(max_size=8),
    st.one_of(st.booleans(), st.integers(), st.just([]), st.just({})),
)
GIVEN = st.dictionaries(st.sampled_from([*KEYS, "Expiration", "AccountId"]), VALUES, max_size=2)
LESS = st.sets(st.sampled_from([*KEYS, "Expiration"]), max_size=1)
DOCUMENTS = st.builds(
    lambda moment, given, less: document(**{"Expiration": moment, **given, **dict.fromkeys(less)}),
    st.sampled_from(MOMENTS),
    GIVEN,
    LESS,
)
BODIES = st.one_of(
    DOCUMENTS,
    st.sampled_from(
        [
            *(b"", b"[]", b"null", b'"keys"', b"{", b"<html>", document()[:-1], document() * 2),
            *(b"\xef\xbb\xbf" + document(), gzip.compress(document()), b"\xff" + document()),
            *(document(Padding="x" * 70000), b" " * 3000 + document()),
            json.dumps({"code": "AccessDenied", "message": "no"}).encode(),
        ]
    ),
)
STATUSES = ("204 No Content", "301 Moved", "400 Bad Request", "403 Forbidden", "500 Error", "x")
ANSWERS = st.one_of(
    BODIES.map(good),
    BODIES.map(chunked),
    st.builds(
        lambda body, status: good(body, f"Location: {PATH}", status=status),
        DOCUMENTS,
        st.sampled_from(STATUSES),
    ),
    st.sampled_from(
        [
            *(b"", b"HTTP/1.1 200 OK\r\n\r\n" + document(), b"HTTP/1.0 200 OK\r\n\r\n", b"\0\1\2"),
            *(b"HTTP/1.1 100 Continue\r\n\r\n" + good(), good()[:-40], chunked(document())[:-60]),
            *(good(document(), "Content-Encoding: gzip"), good(document(), "X: " + "x" * 70000)),
            *(good(gzip.compress(document()), "Content-Encoding: gzip"), good() + b"more"),
            good(document(), *(f"X-{number}: x" for number in range(200))),
        ]
    ),
)


def outcome(source: AwsSource) -> object:
    """Credentials, or all that is told of what went wrong."""
    try:
        return source.fetch(reload=True)
    except CredentialsError as error:
        return str(error), error.retryable, type(error.__cause__).__name__, str(error.__cause__)


@settings(max_examples=100)
@given(answers=st.lists(ANSWERS, min_size=1, max_size=2))
@example(answers=[good()])
@example(answers=[good(document(Expiration=in_seconds(600))), good()])
@example(answers=[good(document(Expiration=in_seconds(600))), b""])
def test_answers(agent: FakeAgent, answers: list[bytes]) -> None:
    """Whatever the agent says: what is taken of it, botocore takes, after as many requests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FULL, agent.url + PATH)
        agent.reset(answers)
        found = from_container()
        if found is None:
            return
        mine = asked(agent)
        agent.reset(answers)
        assert botocores() == found
        assert asked(agent) == mine


@settings(max_examples=50)
@given(answer=ANSWERS)
@example(answer=good(status="403 Forbidden"))
@example(answer=good(document(Token=None)))
@example(answer=good(document(Expiration=in_seconds(-10))))
def test_failures(agent: FakeAgent, answer: bytes) -> None:
    """Whatever the agent says: what comes of it is what comes of it with botocore alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FULL, agent.url + PATH)
        agent.reset([answer])
        found = outcome(AwsSource(None))
        patch.setattr(credentials, "from_container", lambda: None)
        assert outcome(AwsSource(None)) == found


@pytest.mark.parametrize(
    ("url", "token"),
    [*((url, None) for url in URLS), *(("{}" + PATH, token) for token in TOKENS)],
)
def test_endpoints(
    agent: FakeAgent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, token: str | None
) -> None:
    """An address or a token that is refused is refused by botocore, in its own words."""
    if "127.0.0.1/" in url or "192.0.2.1" in url:
        return  # what is there is not ours
    agent.reset([GOOD])
    monkeypatch.setenv(FULL, url.replace("{port}", str(agent.port)).replace("{}", agent.url))
    if token is not None:
        (tmp_path / "token").write_text(token)
        monkeypatch.setenv(TOKEN_FILE, str(tmp_path / "token"))
    found = outcome(AwsSource(None))
    monkeypatch.setattr(credentials, "from_container", lambda: None)
    assert outcome(AwsSource(None)) == found
