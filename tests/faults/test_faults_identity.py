"""Credentials that change under a running process: a refusal is enough to notice, no restart."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults_support import LIFE, OF_BOTH_FAMILIES, Clock, Provider, settle
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam import CredentialsError
from sqlalchemy_rds_iam._aws.credentials import AwsSource
from sqlalchemy_rds_iam._connecting import acquire
from sqlalchemy_rds_iam._passwords.expiry import LONGEST_PAUSE, SHORTEST_PAUSE
from sqlalchemy_rds_iam.testing import AccessKey, RdsEmulator

pytestmark = OF_BOTH_FAMILIES


def _granted(rds: RdsEmulator) -> list[bool]:
    """How the logins since the last call of this have ended."""
    outcome = [decision.granted for decision in rds.decisions]
    rds.clear()
    return outcome


class Environment:
    """Keys in environment variables."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, _directory: Path) -> None:
        self._monkeypatch = monkeypatch

    def hold(self, key: AccessKey) -> None:
        for name, value in key.environ().items():
            self._monkeypatch.setenv(name, value)


class SharedFile:
    """Keys in the shared credentials file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        self._file = directory / "credentials"
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(self._file))

    def hold(self, key: AccessKey) -> None:
        lines = [f"{name.lower()} = {value}" for name, value in key.environ().items()]
        self._file.write_text("\n".join(["[default]", *lines]))


@pytest.fixture(params=[Environment, SharedFile])
def keys(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Where long-lived keys, or keys of unknown expiry, are found."""
    return request.param(monkeypatch, tmp_path)


def test_keys_replaced(
    open_database: Callable[..., Database], keys: Any, clock: Clock, rds: RdsEmulator
) -> None:
    """Keys that were rotated where they are kept cost one refusal, which the caller never sees."""
    database = open_database(poolclass=NullPool)
    _rotate(database, keys, clock, rds)
    for _ in range(3):
        assert database.scalar("select 1") == 1
    assert _granted(rds) == [True, False, True, True, True]


def _rotate(database: Database, keys: Any, clock: Clock, rds: RdsEmulator) -> None:
    """Log in once, and then replace the keys where they are kept."""
    old, new = (rds.identities.issue(rds.key.principal) for _ in range(2))
    keys.hold(old)
    assert database.scalar("select 1") == 1
    keys.hold(new)
    old.revoked = True
    clock.offset += SHORTEST_PAUSE


def test_keys_that_take_their_time(
    open_database: Callable[..., Database],
    keys: Any,
    clock: Clock,
    rds: RdsEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A refused login waits for new keys as long as it takes, not just for a moment."""
    database = open_database(poolclass=NullPool)
    _rotate(database, keys, clock, rds)
    monkeypatch.setattr(acquire, "_TURN", 0.01)
    for name in ("fetch", "prepare_async"):
        monkeypatch.setattr(AwsSource, name, _slow(getattr(AwsSource, name)))
    assert database.scalar("select 1") == 1
    assert _granted(rds) == [True, False, True]


def _slow(work: Callable[..., Any]) -> Callable[..., Any]:
    def later(*args: Any, **kwargs: Any) -> Any:
        time.sleep(0.05)
        return work(*args, **kwargs)

    return later


def test_session_of_unknown_expiry(
    open_database: Callable[..., Database], keys: Any, clock: Clock, rds: RdsEmulator
) -> None:
    """Temporary keys handed over without their expiry are used to their end, and then replaced."""
    keys.hold(rds.identities.issue(rds.key.principal, LIFE))
    database = open_database(poolclass=NullPool)
    assert database.scalar("select 1") == 1
    assert database.inside.credentials.expires_at is None
    clock.offset += LIFE + 1
    # There are no new ones yet: the refusal is what the caller gets, after one more try.
    assert "whose session ends at an unknown time" in database.raises(Exception).__notes__[0]
    keys.hold(rds.identities.issue(rds.key.principal, LIFE))
    clock.offset += 2 * SHORTEST_PAUSE
    assert database.scalar("select 1") == 1
    assert _granted(rds) == [True, False, False, False, True]


def test_sessions_revoked(
    open_database: Callable[..., Database], container: Provider, clock: Clock, rds: RdsEmulator
) -> None:
    """After 'revoke active sessions' a new session is found by the first refusal."""
    database = open_database(poolclass=NullPool)
    assert database.scalar("select 1") == 1
    rds.identities.revoke(container.role)
    container.service._key = None
    clock.offset += SHORTEST_PAUSE
    assert database.scalar("select 1") == 1
    assert _granted(rds) == [True, False, True]


def test_revoked_session_served_on(
    open_database: Callable[..., Database], container: Provider, clock: Clock, rds: RdsEmulator
) -> None:
    """An endpoint that goes on serving a revoked session is asked ever more seldom, but asked."""
    database = open_database(poolclass=NullPool)
    assert database.scalar("select 1") == 1
    rds.identities.revoke(container.role)
    before = container.calls
    for _ in range(40):
        clock.offset += 1
        database.raises(Exception)
    # A reload is two calls: botocore renews at once what lives less than ten minutes.
    assert 6 <= container.calls - before <= 12
    assert len(_granted(rds)) <= 1 + 2 * 40
    container.service._key = None
    clock.offset += LONGEST_PAUSE
    assert database.scalar("select 1") == 1


def test_permission_taken_and_given_back(
    open_database: Callable[..., Database], container: Provider, clock: Clock, rds: RdsEmulator
) -> None:
    """A policy that is taken away and given back stops and resumes connects, at once each time."""
    database = open_database(poolclass=NullPool)
    assert database.scalar("select 1") == 1
    for _ in range(2):
        container.role.db_users = frozenset()
        error = database.raises(Exception)
        assert not isinstance(error, CredentialsError)
        container.role.db_users = None
        assert database.scalar("select 1") == 1
    assert _granted(rds)[-1]


def test_web_identity_token_rotated(
    open_database: Callable[..., Database],
    clock: Clock,
    impatient: None,
    rds: RdsEmulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The file is read anew for every session; rotated too late it is an outage, and it ends."""
    file = tmp_path / "token"
    file.write_text("first")
    for name in rds.key.environ():
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(file))
    monkeypatch.setenv("AWS_ROLE_ARN", rds.identities.role("pod").arn)
    monkeypatch.setattr(rds.aws.sts, "web_identity_tokens", {"first"})
    monkeypatch.setattr(rds.aws.sts, "lifetime", LIFE)
    database = open_database(poolclass=NullPool)
    assert database.scalar("select 1") == 1

    file.write_text("second")
    rds.aws.sts.web_identity_tokens = {"second"}
    clock.offset += LIFE
    assert database.scalar("select 1") == 1

    rds.aws.sts.web_identity_tokens = {"third"}
    clock.offset += LIFE
    assert "could not be validated" in str(database.raises(CredentialsError))
    file.write_text("third")
    clock.offset += 2
    assert database.scalar("select 1") == 1
    assert len({decision.access_key for decision in rds.decisions}) == 3
    assert all(_granted(rds))


def test_overstated_expiry(
    open_database: Callable[..., Database],
    imds: Provider,
    clock: Clock,
    rds: RdsEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Near their end botocore believes instance credentials for longer than they live.

    So the first token after their death is refused, the credentials are loaded anew, and the
    caller sees a success. Source: `InstanceMetadataFetcher._evaluate_expiration` in botocore.
    """
    monkeypatch.setattr(imds.service, "whole_seconds", True)
    monkeypatch.setattr(imds.service, "lifetime", 60.0)
    database = open_database(poolclass=NullPool)
    assert database.scalar("select 1") == 1
    credentials = database.inside.credentials
    assert credentials.expires_at > clock() + 16 * 60
    clock.offset += 61
    assert database.scalar("select 1") == 1
    assert [(d.granted, d.reason) for d in rds.decisions] == [
        (True, None),
        (False, "ExpiredToken"),
        (True, None),
    ]


def test_sessions_of_fifteen_minutes(
    open_database: Callable[..., Database],
    sts: Provider,
    clock: Clock,
    rds: RdsEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The shortest role sessions cost one AssumeRole in ten minutes, not one a connect."""
    monkeypatch.setattr(sts.service, "lifetime", None)
    database = open_database(poolclass=NullPool)
    before = sts.calls
    for _ in range(120):
        assert database.scalar("select 1") == 1
        settle(database)
        clock.offset += 30
    assert sts.calls - before == 6
    assert all(_granted(rds))


@pytest.mark.parametrize("rate", ["0", "100"])
def test_a_refused_user_does_not_cost_the_others(
    open_database: Callable[..., Database],
    container: Provider,
    clock: Clock,
    rds: RdsEmulator,
    rate: str,
) -> None:
    """While one user lacks the grant and another connects well, AWS is asked seldom.

    Whether that one has to wait for its turn or not, it logs in with the token that it has.
    """
    rds.create_user("stranger")
    container.role.db_users = frozenset({"app"})
    options = {"rds_iam_connect_rate": rate}
    good = open_database(options=options, poolclass=NullPool)
    bad = open_database(user="stranger", options=options, poolclass=NullPool)
    before = container.calls
    for _ in range(40):
        assert good.scalar("select 1") == 1
        bad.raises(Exception)
        clock.offset += 1
    assert container.calls - before <= 16
