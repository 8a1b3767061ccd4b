"""Tokens: byte for byte what the official SDKs sign, and masked wherever they are printed."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam._aws.sigv4 import Credentials, MaskedStr, sign
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint

VECTORS = json.loads(
    Path(__file__).parents[1].joinpath("vectors").joinpath("tokens.json").read_text()
)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_vectors(vector: dict[str, Any]) -> None:
    """The golden tokens of the official SDKs' tests, in whatever order they put the parameters."""
    token = sign(
        Credentials(vector["access_key"], vector["secret_key"], vector["session_token"]),
        Endpoint(vector["host"], vector["port"], vector["user"], vector["region"]),
        datetime.fromisoformat(vector["clock"]).timestamp(),
    ).password
    expected_host, _, expected = vector["expected_token"].partition("?")
    host, _, query = token.partition("?")
    if vector["port"] == 443:
        # Kong signs the Host header with :443, the SDKs without; all else has to be the same.
        expected, query = (
            text.replace(dict(parse_qsl(text))["X-Amz-Signature"], "") for text in (expected, query)
        )
    assert host == expected_host
    assert sorted(query.split("&")) == sorted(expected.split("&"))


text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1)


@given(
    access_key=st.from_regex(r"A[A-Z0-9]{3,30}", fullmatch=True),
    secret_key=text,
    session_token=st.none() | st.from_regex(r"[A-Za-z0-9+/=]{1,200}", fullmatch=True),
    host=st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9.-]{0,60}", fullmatch=True),
    port=st.sampled_from([443, 80]) | st.integers(1, 65535),
    user=text,
)
def test_equal_to_botocore(
    access_key: str, secret_key: str, session_token: str | None, host: str, port: int, user: str
) -> None:
    """For any user, host, secret and session token, botocore signs the same bytes."""
    request = AWSRequest(
        "GET", f"https://{host}:{port}/", params={"Action": "connect", "DBUser": user}
    )
    keys = ReadOnlyCredentials(access_key, secret_key, session_token)
    SigV4QueryAuth(keys, "rds-db", "eu-west-1", expires=900).add_auth(request)
    stamp = dict(parse_qsl(request.url))["X-Amz-Date"]
    ours = sign(
        Credentials(access_key, secret_key, session_token),
        Endpoint(host, port, user, "eu-west-1"),
        datetime.strptime(stamp, "%Y%m%dT%H%M%S%z").timestamp() + 0.75,
    )
    assert str(ours.password) == request.url.removeprefix("https://")


def test_life_ends_with_the_credentials() -> None:
    """A token lives 900 s from its whole second, or as long as the credentials if that is less."""
    endpoint = Endpoint("db.abc.us-east-1.rds.amazonaws.com", 5432, "app", "us-east-1")
    assert sign(Credentials("a", "b"), endpoint, 1000.9).expires_at == 1900
    assert sign(Credentials("a", "b", "c", 1090.0), endpoint, 1000.9).expires_at == 1090
    assert sign(Credentials("a", "b", "c", 9999.0), endpoint, 1000.9).expires_at == 1900


def test_secrets_are_masked() -> None:
    """No repr of what a connect handles shows a secret key, session token or signature."""
    endpoint = Endpoint("db.abc.us-east-1.rds.amazonaws.com", 5432, "app", "us-east-1")
    credentials = Credentials("AKIAKEY", "canary-secret", "canary-session")
    token = sign(credentials, endpoint, 1000)
    shown = repr((credentials, token, {"password": token.password}))
    for secret in ("canary-secret", "canary-session", token.password[-64:]):
        assert secret not in shown


def test_a_password_is_its_text() -> None:
    """The driver gets the plain text from it, in every way a driver may ask."""
    password = MaskedStr("abc")
    assert (str(password), f"{password}", password.encode()) == ("abc", "abc", b"abc")
    assert "abc" not in repr({"password": password})
