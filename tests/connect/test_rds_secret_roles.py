"""Who asks for the secret: a role on top of the identity found, a profile, a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from families import Words
from rds_secret_support import USER, LogIn
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from sqlalchemy_rds_iam import CredentialsError, SecretError
from sqlalchemy_rds_iam.testing import RdsEmulator, Secret


@pytest.fixture
def _no_other_identity(rds: RdsEmulator) -> Any:
    """The identity that is found may not read secrets, so the one that does is another."""
    rds.key.principal.secrets = frozenset()
    yield
    rds.key.principal.secrets = None


@pytest.mark.usefixtures("_no_other_identity")
def test_a_role(rds: RdsEmulator, log_in: LogIn, secret: Secret, words: Words) -> None:
    """A role is assumed, at the STS and with the session name that the options say."""
    role = rds.identities.role("reads-secrets")
    options = {
        "rds_secret_role_arn": role.arn,
        "rds_secret_role_session_name": "orders",
        "rds_secret_sts_endpoint_url": rds.aws.sts_url,
    }
    calls = rds.aws.sts.calls["AssumeRole"]
    database = log_in(secret, options)
    assert database.scalar(words.who) == f"{USER}@{words.home}"
    assert rds.aws.sts.calls["AssumeRole"] == calls + 1
    key = rds.identities.find(str(rds.aws.secrets.records[-1].access_key))
    assert key is not None
    assert key.principal is role
    # The role's credentials are kept, and so is the client.
    database.inside.forget()
    database.scalar("select 1")
    assert rds.aws.sts.calls["AssumeRole"] == calls + 1


@pytest.mark.usefixtures("_no_other_identity")
def test_a_role_that_may_not(rds: RdsEmulator, log_in: LogIn, secret: Secret) -> None:
    """A role that asks for an external id: the error names this plugin's option."""
    role = rds.identities.role("locked", external_id="canary")
    error = log_in(secret, {"rds_secret_role_arn": role.arn}).raises(CredentialsError)
    assert "rds_secret_external_id has to give it" in str(error)
    role.external_id = None
    role.secrets = frozenset({"other"})
    error = log_in(secret, {"rds_secret_role_arn": role.arn}).raises(CredentialsError)
    assert isinstance(error, SecretError)


@pytest.mark.usefixtures("_no_other_identity")
def test_a_profile(
    rds: RdsEmulator,
    log_in: LogIn,
    secret: Secret,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: Words,
) -> None:
    """A profile's keys are used, and its endpoint of Secrets Manager; one without is an error."""
    key = rds.identities.issue(rds.identities.user("reader"))
    config = tmp_path / "config"
    config.write_text(
        "[profile secrets]\n"
        f"aws_access_key_id = {key.access_key}\n"
        f"aws_secret_access_key = {key.secret_key}\n"
        "services = here\n"
        "[services here]\n"
        f"secrets_manager =\n  endpoint_url = {rds.aws.secrets_url}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.delenv("AWS_ENDPOINT_URL_SECRETS_MANAGER")
    assert (
        log_in(secret, {"rds_secret_profile": "secrets"}).scalar(words.who)
        == f"{USER}@{words.home}"
    )
    error = log_in(secret, {"rds_secret_profile": "unknown"}).raises(CredentialsError)
    assert "rds_secret_profile names what is in neither" in str(error)


@pytest.mark.usefixtures("_no_other_identity")
@pytest.mark.parametrize(
    "kind", ["botocore", pytest.param("aiobotocore", marks=pytest.mark.aiobotocore)]
)
def test_a_session(
    rds: RdsEmulator,
    log_in: LogIn,
    world: tuple[str, bool],
    secret: Secret,
    kind: str,
    words: Words,
) -> None:
    """A session of one's own says who asks."""
    if kind == "aiobotocore":
        if not world[1]:
            pytest.skip("sync engines use botocore")
        from aiobotocore.session import AioSession as Session
    else:
        Session = botocore.session.Session  # noqa: N806
    key = rds.identities.issue(rds.identities.user("reader"))
    session = Session()
    session.set_credentials(key.access_key, key.secret_key)
    assert log_in(secret, rds_secret_session=session).scalar(words.who) == f"{USER}@{words.home}"
    assert rds.aws.secrets.records[-1].access_key == key.access_key


def test_identities_do_not_share(
    rds: RdsEmulator, log_in: LogIn, secret: Secret, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one identity has fetched is not for another one, which may not read it."""
    log_in(secret).scalar("select 1")
    stranger = rds.identities.issue(rds.identities.user("stranger"))
    stranger.principal.secrets = frozenset()
    for name, value in stranger.environ().items():
        monkeypatch.setenv(name, value)
    assert "GetSecretValue" in str(log_in(secret).raises(SecretError))


def test_both_plugins_in_one_process(
    rds: RdsEmulator, log_in: LogIn, secret: Secret, databases: Callable[..., Any]
) -> None:
    """Engines with tokens and engines with passwords do not get in each other's way."""
    engine = create_engine(rds.url(), poolclass=NullPool)
    database = log_in(secret)
    for _ in range(2):
        assert database.scalar(database.words.user) == USER
        with engine.connect() as connection:
            assert connection.exec_driver_sql(database.words.user).scalar() == "app"
