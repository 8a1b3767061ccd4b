"""A refused password is told from every other failed connect, whatever the driver makes of it."""

from __future__ import annotations

import pytest

from sqlalchemy_rds_iam._databases.mysql import MYSQL
from sqlalchemy_rds_iam._databases.postgresql import POSTGRESQL, is_refusal, is_throttled


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
PROXY_PASSWORD = "The password that was provided for the role app is wrong."
REFUSALS: list[BaseException] = [
    _StateError("28000", PAM),
    _StateError("28P01", "password authentication failed"),
    _StateError("28P01", PROXY_PASSWORD),
    _WrappedError(_StateError("28000")),
    Exception({"C": "28000", "M": PAM}),
    Exception(f'connection to server at "10.0.0.1", port 5432 failed: {PAM}'),
    Exception(PROXY),
    Exception(PROXY_PASSWORD),
]
NOT_FOR_A_PASSWORD = [
    'no pg_hba.conf entry for host "1.2.3.4", user "app", no encryption',
    'role "app" is not permitted to log in',
    'role "app" does not exist',
    "This RDS proxy has no credentials for the role app. Check the credentials for this role.",
    "Enable IAM authentication for the client connection to the proxy and try again.",
    "RDS supports only IAM, MD5, or SCRAM authentication.",
]
OTHERS: list[BaseException] = [
    *(_StateError("28000", text) for text in NOT_FOR_A_PASSWORD),
    *(Exception({"C": "28000", "M": text}) for text in NOT_FOR_A_PASSWORD),
    *(Exception(f"FATAL:  {text}") for text in NOT_FOR_A_PASSWORD),
    _StateError("53300", "too many connections"),
    _StateError("3D000", 'database "authentication failed" does not exist'),
    Exception({"C": "57P03", "M": "the database system is starting up"}),
    Exception("connection refused"),
    OSError(111, "Connection refused"),
    Exception(),
]


@pytest.mark.parametrize("error", REFUSALS, ids=repr)
def test_refusals(error: BaseException) -> None:
    """By SQLSTATE where there is one, by the server's text where there is none."""
    assert is_refusal(error)
    assert not is_throttled(error)


@pytest.mark.parametrize(
    ("error", "by"),
    [
        (_StateError("28000", PAM), "unclear"),
        (_WrappedError(_StateError("28000", PAM)), "unclear"),
        (Exception({"C": "28000", "M": PAM}), "unclear"),
        (Exception(f"connection failed: {PAM}"), "unclear"),
        (_StateError("28P01", "password authentication failed"), "password"),
        (_WrappedError(_StateError("28P01", "password authentication failed")), "password"),
        (Exception({"C": "28P01", "M": "password authentication failed"}), "password"),
        (Exception('connection failed: password authentication failed for user "app"'), "password"),
        (Exception(PROXY_PASSWORD), "password"),
        (Exception(PROXY), "iam"),
        (_StateError("28P01", PROXY), "iam"),
        (_StateError("28P01", "in another language"), "iam"),
    ],
    ids=repr,
)
def test_who_has_refused(error: BaseException, by: str) -> None:
    """Only what PAM says may be throttling: a server that asks for a password has not asked IAM."""
    assert is_refusal(error)
    assert POSTGRESQL.refused_by(error) == by


@pytest.mark.parametrize("number", [1045, 1698])
def test_who_has_refused_in_mysql(number: int) -> None:
    """It says the same whatever it has asked, so that all of it may be throttling."""
    assert MYSQL.refused_by(Exception(number, "Access denied for user 'app'@'%'")) == "unclear"


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_others(error: BaseException) -> None:
    """Anything else is none: no other password would help where the SQLSTATE is the same."""
    assert is_refusal(error) is False
