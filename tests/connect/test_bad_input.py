"""What goes wrong in the field: one clear error each, and all is well once the cause is gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool
from worlds import TUNNELLING, on

from sqlalchemy_rds_iam import ConfigError, CredentialsError
from sqlalchemy_rds_iam.testing import RdsEmulator

WAYS = ["botocore", pytest.param("aiobotocore", marks=pytest.mark.aiobotocore)]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, world: tuple[str, bool]) -> dict[str, str]:
    """Who fetches; a choice that only async engines have."""
    if request.param == "aiobotocore" and not world[1]:
        pytest.skip("sync engines use botocore")
    return {"rds_iam_credentials": request.param, "rds_iam_failure_ttl": "0"}


def _without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def test_no_credentials(
    connect: Any, rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch, way: dict[str, str]
) -> None:
    """Without any credentials the error lists who was asked; then the environment gets some."""
    _without_keys(monkeypatch)
    database = connect(options=way)
    error = database.raises(CredentialsError)
    for provider in ("env", "shared-credentials-file", "container-role", "iam-role"):
        assert provider in str(error)
    for name, value in rds.key.environ().items():
        monkeypatch.setenv(name, value)
    assert database.scalar("select 1") == 1


def test_unknown_profile(
    connect: Any,
    rds: RdsEmulator,
    monkeypatch: pytest.MonkeyPatch,
    way: dict[str, str],
    tmp_path: Path,
) -> None:
    """A profile that does not exist is named, until it does."""
    _without_keys(monkeypatch)
    shared = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    database = connect(options=way | {"rds_iam_profile": "unknown"})
    error = database.raises(CredentialsError)
    assert "unknown" in str(error)
    assert "rds_iam_profile" in str(error)
    shared.write_text(
        "[unknown]\n"
        f"aws_access_key_id = {rds.key.access_key}\n"
        f"aws_secret_access_key = {rds.key.secret_key}\n"
    )
    assert database.scalar("select 1") == 1


def test_no_permission(connect: Any, rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """An identity without rds-db:connect gets the driver's error and our note, one login each."""
    principal = rds.identities.user("poor", db_users=["another"])
    _use(monkeypatch, rds.identities.issue(principal).environ())
    database = connect()
    for attempt in (1, 2):
        error = database.raises(Exception)
        assert database.words.refused in str(error)
        assert "rds-db:connect" in "".join(error.__notes__)
        assert [decision.reason for decision in rds.decisions] == ["NotAuthorized"] * attempt
    principal.db_users = None
    assert database.scalar("select 1") == 1


def test_expired_session(connect: Any, rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session token that has expired, unknown to us, is replaced by what the environment has."""
    key = rds.identities.issue(rds.key.principal, lifetime=3600)
    _use(monkeypatch, key.environ())
    database = connect(poolclass=NullPool)
    database.scalar("select 1")
    key.expires_at = 1.0
    _use(monkeypatch, rds.identities.issue(rds.key.principal, lifetime=3600).environ())
    # As if the credentials had been loaded some time ago.
    database.inside.age(60)
    assert database.scalar("select 1") == 1
    assert [d.granted for d in rds.decisions] == [True, False, True]


def _use(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("offset", [3600.0, -3600.0])
def test_clock_off_by_an_hour(connect: Any, rds: RdsEmulator, offset: float) -> None:
    """A clock that is an hour off is among the causes of the note; set right, all is well."""
    rds.gateway.clock_offset = offset
    database = connect(poolclass=NullPool)
    error = database.raises(Exception)
    assert "clock" in "".join(error.__notes__)
    rds.gateway.clock_offset = 0
    assert database.scalar("select 1") == 1


@on(*TUNNELLING)
def test_verify_ca_accepts_another_name(connect: Any, rds: RdsEmulator) -> None:
    """rds_iam_tls=verify-ca checks the authority but not the name."""
    rds.gateway.certificate = rds.certificates.other_host()
    assert connect(options={"rds_iam_tls": "verify-ca"}).scalar("select 1") == 1
    rds.gateway.certificate = rds.certificates.unrelated()
    assert "certificate" in _whole(connect(options={"rds_iam_tls": "verify-ca"}).raises(Exception))


def _whole(error: BaseException | None) -> str:
    text = ""
    while error is not None:
        text += str(error)
        error = error.__cause__
    return text


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot read"), ("", "is empty"), ("x", "no PEM"), ("garbage", "cannot be parsed")],
    ids=["missing", "empty", "not-pem", "garbage"],
)
def test_ca_file(
    world: tuple[str, bool],
    rds: RdsEmulator,
    databases: Callable[..., Any],
    tmp_path: Path,
    content: str | None,
    says: str,
) -> None:
    """A CA file that is missing, empty or no PEM is refused by name, when the engine is made."""
    drivername, is_async = world
    file = tmp_path / "ca.pem"
    if content == "garbage":
        content = "-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n"
    if content is not None:
        file.write_text(content)
    url = rds.url(drivername, rds_iam_ca=str(file))
    with pytest.raises(ConfigError, match=says) as caught:
        databases(url, is_async=is_async)
    assert str(file) in str(caught.value)
    file.write_text(rds.ca_file.read_text())
    assert databases(url, is_async=is_async).scalar("select 1") == 1


def test_no_ca_found(rds: RdsEmulator) -> None:
    """Without any CA bundle the error says where to get it and where it was looked for."""
    url = rds.url("postgresql+psycopg").difference_update_query(["rds_iam_ca"])
    with pytest.raises(ConfigError, match=r"truststore\.pki\.rds\.amazonaws\.com") as caught:
        create_engine(url)
    assert ".postgresql/root.crt" in str(caught.value)
