"""When Secrets Manager does not answer, or says no: what goes on working, and what is said."""

from __future__ import annotations

import logging
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import eventually
from rds_secret_support import LogIn

from sqlalchemy_rds_iam import CredentialsError, SecretError, WaitTimeout
from sqlalchemy_rds_iam._passwords import expiry
from sqlalchemy_rds_iam.testing import AwsError, RdsEmulator, Secret
from sqlalchemy_rds_iam.testing.aws.secrets_api import (
    DECRYPTION_FAILURE,
    INTERNAL_ERROR,
    KMS_DENIED,
    THROTTLED,
)


@pytest.fixture(autouse=True)
def _well_again(rds: RdsEmulator) -> Iterator[None]:
    yield
    rds.aws.secrets.recover()


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = [record for record in caplog.records if record.name == "sqlalchemy_rds_iam"]
    return [record.getMessage() for record in records if record.levelno >= logging.WARNING]


@pytest.fixture
def one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Botocore does not try again by itself."""
    from sqlalchemy_rds_iam._aws import sessions

    monkeypatch.setitem(sessions.NETWORK, "retries", {"mode": "standard", "total_max_attempts": 1})


@pytest.fixture
def dead_end() -> Iterator[str]:
    """The URL of an endpoint at which no server listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


# What the account has, and what is said; each without a secret in hand.
REFUSALS: dict[str, tuple[Any, str]] = {
    "binary": (b"\x00\x01", r"is binary: it has to be text"),
    "broken JSON": ('{"username": "canary', r"begins like JSON and is none \(line 1, column 14\)"),
    "no password": ({"username": "x", "pass": "canary"}, r"no key 'password'.*'pass', 'username'"),
    "empty password": ({"username": "x", "password": ""}, r"value of 'password' is empty"),
    "null password": ({"username": "x", "password": None}, r"value of 'password' is empty"),
    "number as password": ({"username": "x", "password": 5151}, r"'password' is no text"),
    "empty user": ({"username": "", "password": "canary"}, r"value of 'username' is empty"),
    "port": ({"password": "canary", "port": "canary"}, r"value of 'port' is no port number"),
    "port 0": ({"password": "canary", "port": 0}, r"value of 'port' is no port number"),
    "true as port": ({"password": "canary", "port": True}, r"value of 'port' is no port number"),
    "host": ({"password": "canary", "host": ["canary"]}, r"value of 'host' is no text"),
    "no value": (None, r"has no version labelled AWSCURRENT"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_in_it(rds: RdsEmulator, log_in: LogIn, place: dict[str, Any], case: str) -> None:
    """A secret that no password can be taken from: an error that says why, and no value."""
    value, message = REFUSALS[case]
    rds.secrets.store("odd", value)
    error = log_in("odd", place=place).raises(SecretError)
    assert re.search(message, str(error)), str(error)
    assert not error.retryable
    chain = [error, error.__cause__, getattr(error.__cause__, "__context__", None)]
    assert "canary" not in "".join(map(repr, chain))
    assert "5151" not in str(error)


def test_not_there(rds: RdsEmulator, log_in: LogIn, secret: Secret) -> None:
    """A name, a region or an account that is wrong; a version that is not there."""
    elsewhere = secret.arn.replace("us-east-1", "eu-west-1")
    no_region = {"rds_secret_region": None}
    for spelling, options, message in (
        ("prod/ap", {}, "'prod/ap' in us-east-1 does not exist: check the spelling"),
        (secret.name, {"rds_secret_region": "eu-west-1"}, "in eu-west-1 does not exist"),
        (elsewhere, no_region, "in eu-west-1 does not exist: .* account"),
        (secret.name, {"rds_secret_version_stage": "BLUE"}, "no version labelled BLUE"),
        (secret.name, {"rds_secret_version_id": "a" * 32}, "no version with the id aaa"),
    ):
        error = log_in(spelling, options).raises(SecretError)  # type: ignore[arg-type]
        assert re.search(message, str(error)), str(error)


def test_deleted(log_in: LogIn, secret: Secret) -> None:
    """A secret that is scheduled for deletion is said to be so; restored, it works."""
    secret.delete()
    database = log_in(secret, {"rds_secret_neg_ttl": "0"})
    error = database.raises(SecretError)
    assert "is scheduled for deletion: restore it" in str(error)
    secret.restore()
    assert database.scalar("select 1") == 1


def test_not_allowed(rds: RdsEmulator, log_in: LogIn, secret: Secret) -> None:
    """Without permission the error names the action that is missing."""
    rds.key.principal.secrets = frozenset()
    try:
        error = log_in(secret).raises(SecretError)
    finally:
        rds.key.principal.secrets = None
    assert "it needs secretsmanager:GetSecretValue on the ARN" in str(error)
    for failure in (DECRYPTION_FAILURE, KMS_DENIED):
        rds.aws.secrets.fail(failure, times=1)
        error = log_in(secret, {"rds_secret_neg_ttl": "0"}).raises(SecretError)
        assert "kms:Decrypt on the key" in str(error)


def test_no_credentials(log_in: LogIn, secret: Secret, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without AWS credentials it is those that are asked for, by this plugin's option."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    error = log_in(secret).raises(CredentialsError)
    assert "no AWS credentials" in str(error)
    assert "rds_secret_profile" in str(error)


def test_keys_that_were_replaced(
    rds: RdsEmulator,
    log_in: LogIn,
    secret: Secret,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Keys that AWS no longer takes are loaded anew, within the same connect."""
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    fresh = rds.identities.issue(rds.key.principal)
    keys = [rds.key, fresh]
    for name in rds.key.environ():
        monkeypatch.delenv(name)
    database = log_in(secret, {"rds_secret_ttl": "0"})
    for key in keys:
        lines = [f"{name.lower()} = {value}" for name, value in key.environ().items()]
        file.write_text("\n".join(["[default]", *lines]))
        if key is fresh:
            secret.rotate()
            unknown = AwsError(400, "UnrecognizedClientException", "The token is invalid.")
            rds.aws.secrets.fail(unknown, times=1)
        assert database.scalar("select 1") == 1
    used = [record.access_key for record in rds.aws.secrets.records[-2:]]
    assert used == [key.access_key for key in keys]


@pytest.mark.usefixtures("one_try")
def test_no_answer(log_in: LogIn, secret: Secret, dead_end: str) -> None:
    """An endpoint that cannot be reached: the error says what to look at, and may pass."""
    error = log_in(secret, {"rds_secret_endpoint_url": dead_end}).raises(SecretError)
    assert "Is the endpoint of Secrets Manager reachable" in str(error)
    assert error.retryable


@pytest.mark.usefixtures("one_try")
def test_a_failure_is_remembered(
    rds: RdsEmulator, log_in: LogIn, secret: Secret, calls: Any
) -> None:
    """For neg_ttl the same error comes without a call; after it, AWS is asked again."""
    rds.aws.secrets.fail(INTERNAL_ERROR, times=1)
    database = log_in(secret, {"rds_secret_neg_ttl": "60"})
    for _ in range(3):
        assert "InternalServiceError" in str(database.raises(SecretError))
    assert calls() == 1
    tokens = database.inside.cache
    tokens._outage.failed_at -= 61
    assert database.scalar("select 1") == 1
    assert calls() == 2


def test_throttled_calls_are_tried_again(
    rds: RdsEmulator, log_in: LogIn, secret: Secret, calls: Any
) -> None:
    """A throttled call is repeated with a pause, and the connect succeeds."""
    rds.aws.secrets.fail(THROTTLED, times=1)
    assert log_in(secret).scalar("select 1") == 1
    assert calls() == 2


@pytest.mark.usefixtures("one_try")
def test_an_outage_is_survived(
    rds: RdsEmulator, log_in: LogIn, secret: Secret, caplog: pytest.LogCaptureFixture
) -> None:
    """Beyond ttl the secret in hand is used while AWS is down, with one warning; then it is new."""
    database = log_in(secret, {"rds_secret_ttl": "0.001"})
    database.scalar("select 1")
    rds.aws.secrets.fail(INTERNAL_ERROR)
    tokens = database.inside.cache

    def failed() -> bool:
        assert database.scalar("select 1") == 1
        return tokens._outage is not None

    eventually(failed)
    for _ in range(5):
        assert database.scalar("select 1") == 1
    [warning] = _warnings(caplog)
    assert "secret 'prod/app' (AWSCURRENT) could not be fetched" in warning
    rds.aws.secrets.recover()
    before = tokens.credentials
    tokens._outage.retry_at = 0.0

    def renewed() -> bool:
        database.scalar("select 1")
        return tokens.credentials is not before

    eventually(renewed)
    assert tokens._outage is None


@pytest.mark.usefixtures("one_try")
def test_no_longer_than_resurrect_ttl(rds: RdsEmulator, log_in: LogIn, secret: Secret) -> None:
    """After ttl and resurrect_ttl the secret is not used any more: the cause is the error."""
    options = {"rds_secret_ttl": "100", "rds_secret_resurrect_ttl": "50"}
    database = log_in(secret, options)
    database.scalar("select 1")
    cached = database.inside.cache._cached
    assert cached.stale_at - cached.fetched_at == pytest.approx(100)
    assert cached.dead_at - cached.fetched_at == pytest.approx(150)
    secret.delete()
    cached.dead_at = cached.stale_at = time.time() - 1
    database.inside.token.fresh_until = 0.0
    assert "scheduled for deletion" in str(database.raises(SecretError))


def test_a_ttl_of_zero_asks_once(log_in: LogIn, secret: Secret, calls: Any) -> None:
    """With ttl 0 a secret is fetched anew when it is refused, and not before."""
    database = log_in(secret, {"rds_secret_ttl": "0"})
    database.scalar("select 1")
    tokens = database.inside.cache
    assert tokens._cached.stale_at == tokens._cached.dead_at == float("inf")
    tokens._cached.fetched_at -= 1e9
    database.scalar("select 1")
    assert calls() == 1
    secret.rotate()
    assert database.scalar("select 1") == 1
    assert calls() == 2


def test_lazily(rds: RdsEmulator, log_in: LogIn, secret: Secret, calls: Any) -> None:
    """With refresh=lazy the connect that finds the secret stale fetches it, and uses that."""
    database = log_in(secret, {"rds_secret_ttl": "100", "rds_secret_refresh": "lazy"})
    database.scalar("select 1")
    secret.rotate()
    inside = database.inside
    inside.cache._cached.stale_at = time.time() - 1
    inside.token.fresh_until = 0.0
    before = len(rds.decisions)
    assert database.scalar("select 1") == 1
    assert calls() == 2
    assert [decision.granted for decision in rds.decisions[before:]] == [True]


@pytest.mark.usefixtures("one_try")
def test_lazily_in_an_outage(
    rds: RdsEmulator,
    log_in: LogIn,
    secret: Secret,
    calls: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With refresh=lazy, too, the secret in hand is used when it cannot be fetched."""
    monkeypatch.setattr(expiry, "SHORTEST_PAUSE", 600.0)
    monkeypatch.setattr(expiry, "LONGEST_PAUSE", 600.0)
    database = log_in(secret, {"rds_secret_ttl": "0.001", "rds_secret_refresh": "lazy"})
    database.scalar("select 1")
    rds.aws.secrets.fail(INTERNAL_ERROR)
    before = calls()
    for _ in range(3):
        assert database.scalar("select 1") == 1
    assert calls() == before + 1


def test_the_deadline(rds: RdsEmulator, log_in: LogIn, secret: Secret) -> None:
    """A call that does not come back ends at the connect's deadline, with what is missing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        options = {"rds_secret_endpoint_url": url, "rds_secret_timeout": "0.2"}
        error = log_in(secret, options).raises(WaitTimeout)
    assert "secret 'prod/app' (AWSCURRENT) within 0.2 s (rds_secret_timeout)" in str(error)
