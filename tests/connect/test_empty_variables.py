"""Variables that are set to nothing: credentials are found where they are, and AWS is verified."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from sqlalchemy.pool import NullPool

from sqlalchemy_rds_iam import plugin
from sqlalchemy_rds_iam._aws.credentials import AwsSource
from sqlalchemy_rds_iam._aws.sessions import botocore_session
from sqlalchemy_rds_iam.testing import RdsEmulator

ROLE = "arn:aws:iam::123456789012:role/app"

VARIABLES = [
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "AWS_METADATA_SERVICE_TIMEOUT",
    "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
    "AWS_MAX_ATTEMPTS",
    "AWS_RETRY_MODE",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_STS",
    "PGSSLROOTCERT",
    "PGSSLMODE",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGUSER",
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
]
FETCHERS = ["botocore", pytest.param("aiobotocore", marks=pytest.mark.aiobotocore)]


@pytest.mark.parametrize("fetcher", FETCHERS)
@pytest.mark.parametrize("place", ["environment", "file", "role", "container"])
def test_variables(
    rds: RdsEmulator,
    databases: Any,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    fetcher: str,
) -> None:
    """Any of them set to nothing, one at a time: the credentials are found where they are."""
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name)  # those of HOME count
    keys = rds.key.environ()
    options: dict[str, Any] = {"poolclass": NullPool, "rds_iam_failure_ttl": 0}
    if place != "environment":
        for name in keys:
            monkeypatch.delenv(name)
    if place == "container":
        rds.aws.container.role = rds.identities.role("app")
        monkeypatch.setenv(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{rds.aws.container.url}{rds.aws.container.path}"
        )
    if place in {"file", "role"}:
        home = Path.home() / ".aws"
        home.mkdir()
        lines = "".join(f"{name.lower()} = {value}\n" for name, value in keys.items())
        (home / "credentials").write_text(f"[default]\n{lines}")
    if place == "role":
        options["rds_iam_role_arn"] = rds.identities.role("app").arn
    is_async = fetcher == "aiobotocore"
    drivername = "postgresql+asyncpg" if is_async else "postgresql+psycopg"
    url = rds.url(drivername, rds_iam_credentials=fetcher)
    of_libpq = place == "environment"
    for name in ["AWS_PROFILE", *(name for name in VARIABLES if name.startswith("PG") == of_libpq)]:
        if os.environ.get(name):
            continue  # what this place is made of
        for blank in ("", " ") if name == "AWS_PROFILE" else ("",):
            with monkeypatch.context() as patch:
                patch.setenv(name, blank)
                plugin._identities.clear()
                database = databases(url, is_async=is_async, **options)
                assert database.scalar("select 1") == 1, (name, blank)


@pytest.mark.parametrize("name", ["AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE"])
def test_variables_and_a_secret(
    log_in: Any, rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Secrets Manager is asked all the same, in a thread and through aiobotocore."""
    secret = rds.secrets.create("app", "passworded")
    monkeypatch.setenv(name, "")
    assert log_in(secret).scalar("select 1") == 1


@pytest.mark.parametrize("names", [{"AWS_DEFAULT_PROFILE": "", "AWS_PROFILE": "work"}])
def test_the_other_variable_counts(monkeypatch: pytest.MonkeyPatch, names: dict[str, str]) -> None:
    """Of two variables for the same, an empty one leaves the other its say."""
    home = Path.home() / ".aws"
    home.mkdir()
    keys = "aws_access_key_id = {0}\naws_secret_access_key = s\n"
    (home / "credentials").write_text(
        f"[default]\n{keys.format('AKIADEFAULT')}[work]\n{keys.format('AKIAWORK')}"
    )
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    assert AwsSource(None).fetch(reload=False).access_key == "AKIAWORK"


def test_a_web_identity_of_the_profile(
    rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Empty variables do not hide what the profile says about a web identity."""
    token = tmp_path / "token"
    token.write_text("a.b.c")
    monkeypatch.delenv("AWS_CONFIG_FILE")
    home = Path.home() / ".aws"
    home.mkdir()
    (home / "config").write_text(
        f"[profile pod]\nrole_arn = {ROLE}\nweb_identity_token_file = {token}\n"
    )
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "")
    monkeypatch.setenv("AWS_ROLE_ARN", "")
    for name in rds.key.environ():
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_PROFILE", "pod")
    found = botocore_session(None).get_credentials()
    assert found.method == "assume-role-with-web-identity"
    # This is what it is for: botocore by itself does not find it.
    assert botocore.session.Session().get_credentials() is None


def test_verification_of_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty name of a CA bundle does not switch the verification of AWS off."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "")
            keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
            client = botocore_session(None).create_client("sts", "us-east-1", **keys)
            assert client._endpoint.http_session._verify is True
