"""Events of rds_secret: rotations and outages, with the secret and its version; and canaries."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from events_support import Seen
from families import Words
from rds_secret_support import USER, LogIn
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam import rds_iam_stats
from sqlalchemy_rds_iam._passwords import cache
from sqlalchemy_rds_iam._secretsmanager import rotation
from sqlalchemy_rds_iam.testing import AwsError, RdsEmulator, Secret

Logged = Callable[[], list[logging.LogRecord]]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that takes seconds takes hundredths."""
    monkeypatch.setattr(rotation, "PAUSE", 0.02)
    monkeypatch.setattr(cache, "SHORTEST_PAUSE", 0.0)


def test_a_first_connect(rds: RdsEmulator, log_in: LogIn, secret: Secret, seen: Seen) -> None:
    """The secret is fetched and its password taken up; both say which version of which secret."""
    log_in(secret, rds_secret_on_event=seen).scalar("select 1")
    assert seen.kinds == ["renewed", "minted"]
    for event in seen:
        assert event.plugin == "rds_secret"
        assert event.identity.secret == secret.arn
        assert event.identity.version == secret.stages["AWSCURRENT"]
        assert event.token_left is event.credentials_left is None
    assert seen[0].what == "secret 'prod/app' (AWSCURRENT)"


def test_a_rotation(log_in: LogIn, secret: Secret, seen: Seen, logged: Logged) -> None:
    """The old version is refused, with one warning, the new one taken up and tried."""
    database = log_in(secret, rds_secret_on_event=seen)
    database.scalar("select 1")
    old = secret.stages["AWSCURRENT"]
    secret.rotate()
    seen.clear()
    database.scalar("select 1")
    assert seen.kinds == ["refused", "renewed", "minted", "retried"]
    refused, *_, retried = seen
    assert refused.identity.version == old
    assert retried.identity.version == secret.stages["AWSCURRENT"]
    assert refused.endpoint == retried.endpoint == database.inside.plan.target.endpoint
    assert refused.endpoint.user == USER
    assert retried.attempt == 2
    [warning] = [record for record in logged() if record.levelno >= logging.WARNING]
    assert warning.rds_iam["version"] == old
    assert warning.getMessage().endswith(f"(version {old}); looking for another one")


def test_versions_that_need_not_exist(
    rds: RdsEmulator, log_in: LogIn, secret: Secret, seen: Seen, logged: Logged, words: Words
) -> None:
    """That there is no AWSPENDING or AWSPREVIOUS to try is no outage."""
    rds.execute(words.new_password(USER, "another"))
    database = log_in(secret, rds_secret_on_event=seen)
    database.raises(Exception)
    assert "refused" in seen.kinds
    assert not {"outage_begun", "outage_ended"} & {*seen.kinds}
    assert {record.rds_iam["kind"] for record in logged()} == {*seen.kinds}


def test_an_outage(
    rds: RdsEmulator, log_in: LogIn, secret: Secret, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets Manager down, and up again: begun and ended, by the name of the secret."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    rds.aws.secrets.fail(AwsError(400, "AccessDeniedException", "no"))
    database = log_in(secret, {"rds_secret_neg_ttl": "0"}, rds_secret_on_event=seen)
    for _ in range(2):
        database.raises(Exception)
    assert seen.kinds == ["outage_begun"]
    assert rds_iam_stats(database.engine).outage.failures == 2
    rds.aws.secrets.recover()
    database.scalar("select 1")
    assert seen.kinds == ["outage_begun", "renewed", "outage_ended", "minted"]
    assert seen.of("outage_begun").what == "secret 'prod/app' (AWSCURRENT)"
    assert seen.of("outage_begun").error
    assert rds_iam_stats(database.engine).outage is None


def test_canaries(
    rds: RdsEmulator,
    connect: Callable[..., Database],
    log_in: LogIn,
    secret: Secret,
    session_key: Any,
    seen: Seen,
    logged: Logged,
    hasty: None,
    signatures: set[str],
    words: Words,
) -> None:
    """No key, token, session token or password is in any event, record, hook or snapshot."""
    signed = connect(
        rds_iam_on_event=seen, options={"rds_iam_throttle_retry": "on"}, poolclass=NullPool
    )
    signed.inside.reload_at_once()
    rds.gateway.refuse_next = 1
    signed.scalar("select 1")
    rds.gateway.refuse_next = 1
    signed.scalar("select 1")
    passwords = [secret.fields()["password"], *signatures]
    assert signatures
    stored = log_in(secret, rds_secret_on_event=seen)
    stored.scalar("select 1")
    secret.rotate()
    passwords.append(secret.fields()["password"])
    stored.scalar("select 1")
    rds.gateway.refuse_next = 0
    rds.execute(words.new_password(USER, "another"))
    stored.raises(Exception)
    rds.aws.secrets.fail(AwsError(400, "AccessDeniedException", "no"))
    log_in(secret, {"rds_secret_ttl": "77"}, rds_secret_on_event=seen).raises(Exception)
    rds.aws.secrets.recover()
    assert {"minted", "renewed", "refused", "retried", "throttled", "outage_begun"} == {*seen.kinds}
    stats = [rds_iam_stats(each.engine) for each in (signed, stored)]
    shown = "\n".join(
        [
            *map(repr, seen),
            *(json.dumps(event.as_dict()) for event in seen),
            *(repr(vars(record)) for record in logged()),
            *(record.getMessage() for record in logged()),
            *("".join(traceback.format_exception(*r.exc_info)) for r in logged() if r.exc_info),
            *map(repr, stats),
            repr(signed.inside.provider.reporter.__dict__),
        ]
    )
    assert session_key.access_key[-4:] in shown
    assert "X-Amz" not in shown
    hidden = [session_key.secret_key, session_key.session_token, session_key.access_key, *passwords]
    for each in hidden:
        assert str(each)
        assert str(each) not in shown
