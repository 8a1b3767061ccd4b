"""Nothing that is printed holds the password of a secret, nor the keys that fetched it."""

from __future__ import annotations

import gc
import logging
import traceback
from typing import Any

import botocore.session
import pytest
from families import Words
from malformed_support import printed
from rds_secret_support import USER, LogIn
from sqlalchemy import NullPool, event

from sqlalchemy_rds_iam import SecretError, plugin
from sqlalchemy_rds_iam.secret_plugin import RdsSecretPlugin
from sqlalchemy_rds_iam.testing import RdsEmulator, Secret

OURS = {"SecretPassword", "Search"}


def test_canaries(
    rds: RdsEmulator,
    log_in: LogIn,
    secret: Secret,
    session_key: Any,
    log: Any,
    our_frames: Any,
    words: Words,
) -> None:
    """Passwords, keys and session tokens appear nowhere, in success, rotation and refusal."""
    passwords = [secret.fields()["password"]]
    database = log_in(secret, {"rds_secret_ttl": "0.001"}, echo="debug")
    database.scalar("select 1")
    secret.rotate()
    passwords.append(secret.fields()["password"])
    database.scalar("select 1")
    rds.execute(words.new_password(USER, "another"))
    error = database.raises(Exception)
    rds.secrets.store("odd", '{"password": "canary-in-broken-json"')
    broken = log_in("odd").raises(SecretError)
    cause = error.__cause__ or error
    assert log.lines
    assert any(line.startswith("botocore") for line in log.lines)
    shown = "\n".join(
        [
            *log.lines,
            repr(database.engine),
            repr(database.inside.listener),
            *(repr(vars(tokens)) for tokens in plugin._identities.values()),
            *(repr(o.credentials) for o in plugin._identities.values()),
            *(
                repr(o)
                for o in gc.get_objects()
                if type(o).__name__ in {"SecretPassword", "Search"}
            ),
            *(repr(vars(o)) for o in gc.get_objects() if isinstance(o, RdsSecretPlugin)),
            *(repr(e) + str(e) + "".join(getattr(e, "__notes__", [])) for e in (error, cause)),
            "".join(traceback.format_exception(error)),
            "".join(traceback.format_exception(broken)),
            our_frames(error),
            our_frames(broken),
        ]
    )
    assert "version" in shown
    secrets = [*passwords, session_key.secret_key, session_key.session_token, "canary-in-broken"]
    for hidden in secrets:
        assert hidden not in shown
    assert "SecretString" not in shown


def test_other_peoples_logs(rds: RdsEmulator, log_in: LogIn, secret: Secret, log: Any) -> None:
    """Botocore goes on logging what other calls carry: it is ours alone that are left out."""
    log_in(secret).scalar("select 1")
    logging.getLogger("botocore.parsers").debug("another's answer")
    client = botocore.session.Session().create_client("sts", region_name="us-east-1")
    client.get_caller_identity()
    client.close()
    lines = [line for line in log.lines if line.startswith("botocore.parsers")]
    assert any("another's" in line for line in lines)
    assert any("GetCallerIdentity" in line for line in lines)


def test_sqlalchemys_frames(log_in: LogIn, secret: Secret) -> None:
    """The arguments that SQLAlchemy and other listeners are given do not show the password."""
    database = log_in(secret)
    seen: list[str] = []

    @event.listens_for(database.engine, "do_connect")
    def _spy(_dialect: Any, _record: Any, _cargs: Any, cparams: dict[str, Any]) -> None:
        seen.append(repr(cparams))

    database.scalar("select 1")
    assert "<masked" in seen[0]
    assert secret.fields()["password"] not in seen[0]


def test_a_roles_keys(rds: RdsEmulator, connect: Any, log: Any) -> None:
    """With tokens, too: what STS answers with when a role is assumed is not logged."""
    role = rds.identities.role("quiet")
    database = connect(options={"rds_iam_role_arn": role.arn}, poolclass=NullPool)
    database.scalar("select 1")
    credentials = database.inside.credentials
    assert credentials.session_token
    logged = "\n".join(log.lines)
    for hidden in (credentials.secret_key, credentials.session_token):
        assert hidden not in logged


def test_keys_that_cannot_be_any(
    rds: RdsEmulator,
    log_in: LogIn,
    secret: Secret,
    session_key: Any,
    log: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Secrets Manager is not asked with a session token that the HTTP client would quote."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", session_key.session_token + "\n")
    asked = rds.aws.secrets.calls["GetSecretValue"]
    error: Any = log_in(secret).raises(SecretError)
    assert "AWS_SESSION_TOKEN ends in a line feed" in str(error)
    assert not error.retryable
    assert rds.aws.secrets.calls["GetSecretValue"] == asked
    for shown in (*printed(error), *log.lines):
        assert session_key.session_token not in shown
