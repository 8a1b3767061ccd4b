"""A refused password is told from every other failed connect, whatever the driver makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from sqlalchemy_rds_iam._aws.sigv4 import Credentials, IssuedPassword, MaskedStr
from sqlalchemy_rds_iam._connecting.login_errors import explain
from sqlalchemy_rds_iam._databases.drivers import Target
from sqlalchemy_rds_iam._databases.postgresql import DRIVERS, is_refusal
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint, parse_host


class _StateError(Exception):
    def __init__(self, state: str, text: str = "") -> None:
        super().__init__(text)
        self.sqlstate = state


class _WrappedError(Exception):
    def __init__(self, orig: BaseException) -> None:
        super().__init__(str(orig))
        self.orig = orig


PAM = 'FATAL:  PAM authentication failed for user "app"'
PROXY = 'FATAL:  IAM authentication failed for user "app". Check the IAM token for this user'
REFUSALS: list[BaseException] = [
    _StateError("28000", PAM),
    _StateError("28P01", "password authentication failed"),
    _WrappedError(_StateError("28000")),
    Exception({"C": "28000", "M": PAM}),
    Exception(f'connection to server at "10.0.0.1", port 5432 failed: {PAM}'),
    Exception(PROXY),
]
OTHERS: list[BaseException] = [
    _StateError("28000", 'no pg_hba.conf entry for host "1.2.3.4", user "app", no encryption'),
    _StateError("53300", "too many connections"),
    _StateError("3D000", 'database "authentication failed" does not exist'),
    Exception({"C": "57P03", "M": "the database system is starting up"}),
    Exception("connection refused"),
    Exception('FATAL:  no pg_hba.conf entry for host "1.2.3.4", user "app", SSL off'),
    OSError(111, "Connection refused"),
    Exception(),
]


@pytest.mark.parametrize("error", REFUSALS, ids=repr)
def test_refusals(error: BaseException) -> None:
    """By SQLSTATE where there is one, by the server's text where there is none."""
    assert is_refusal(error)


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_others(error: BaseException) -> None:
    """Anything else is none, pg_hba.conf's refusals with the same SQLSTATE included."""
    assert not is_refusal(error)


def _note(user: str, host: str, credentials: Credentials | None) -> str:
    error = Exception("refused")
    explain(
        error,
        target=Target(
            DRIVERS["psycopg"], Endpoint(host, 5432, user, "us-east-1"), parse_host(host), {}
        ),
        token=IssuedPassword(MaskedStr("canary-token"), 1000, 1900),
        credentials=credentials,
        now=1060.0,
        command="rds-iam doctor URL",
    )
    return error.__notes__[0]


def test_note() -> None:
    """The note has what only the client knows: what was signed, by whom, how long ago."""
    credentials: Any = Credentials("AKIAIOSFODNN7EXAMPLE", "canary-key", "canary-s", 2000, "env")
    note = _note("App", "db.example.com", credentials)
    for part in (
        "db.example.com:5432, user 'App', region us-east-1",
        "…MPLE from 'env', which expires in 940 s",
        "60 s old, good for 840 s more",
        "is no RDS endpoint name",
        "spelled otherwise",
        'GRANT rds_iam TO "App"',
        "to tell them apart\n    rds-iam doctor URL\n",
    ):
        assert part in note
    assert "canary" not in note
    assert "AKIAIOSFODNN7EXAMPLE" not in note
    assert "is no RDS endpoint name" not in _note("app", "db.abc.us-east-1.rds.amazonaws.com", None)
