"""What a failed login means: of the error, the history and the time alone, without an engine."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam._connecting.refusals import meaning
from sqlalchemy_rds_iam._databases.postgresql import POSTGRESQL
from sqlalchemy_rds_iam._ratelimit.retry_policy import NEVER, RECENT

NOW = 1000.0
REFUSED = Exception('connection failed: FATAL:  PAM authentication failed for user "app"')
PASSWORD = Exception('FATAL:  password authentication failed for user "app"')
AT_PROXY = Exception('FATAL:  IAM authentication failed for user "app". Check the IAM token')
THROTTLED = Exception("FATAL:  Rate of connection to proxy exceeded the limit")
ELSE = Exception("connection refused")

histories = st.just(NEVER) | st.floats(0, NOW)
errors = st.sampled_from((REFUSED, PASSWORD, AT_PROXY, THROTTLED, ELSE))


class Login:
    """The logins at one place so far."""

    def __init__(self, accepted_at: float, accepted_before: float = NEVER) -> None:
        self.accepted_at, self.accepted_before = accepted_at, accepted_before
        self.first_until = self.first_refused = NEVER
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("error", "age", "replaced", "patient", "expected"),
    [
        (REFUSED, None, False, True, "replace"),  # it may be the first token, of old credentials
        (REFUSED, None, True, True, "throttled"),  # a user who was never let in, or is new
        (REFUSED, RECENT / 2, False, True, "throttled"),  # the credentials are good
        (REFUSED, RECENT, False, True, "throttled"),
        (REFUSED, 2 * RECENT, False, True, "replace"),
        (REFUSED, 2 * RECENT, True, True, "throttled"),
        # Without patience, new credentials are all that there is to try.
        (REFUSED, RECENT / 2, False, False, "replace"),
        (REFUSED, RECENT / 2, True, False, "final"),
        (REFUSED, None, True, False, "final"),
        # IAM was not asked: no token is any better, at any time.
        (PASSWORD, None, False, True, "final"),
        (PASSWORD, RECENT / 2, False, True, "final"),
        (PASSWORD, 2 * RECENT, False, True, "final"),
        # The proxy would say if it throttled.
        (AT_PROXY, None, False, True, "replace"),
        (AT_PROXY, None, True, True, "final"),
        (AT_PROXY, RECENT / 2, True, True, "final"),
        (THROTTLED, None, False, True, "throttled"),
        (THROTTLED, None, False, False, "final"),
        (ELSE, RECENT / 2, False, True, "other"),
    ],
)
def test_what_it_means(
    error: Exception, age: float | None, replaced: bool, patient: bool, expected: str
) -> None:
    """One line for each case of the documentation."""
    login = Login(NEVER if age is None else NOW - age)
    assert (
        meaning(error, login, NOW, POSTGRESQL, has_replaced=replaced, patient=patient) == expected
    )


def test_no_longer_let_in() -> None:
    """A user who was let in, and then not for as long as a connect may take, is not new."""
    login = Login(NEVER, NOW - 60)
    assert meaning(REFUSED, login, NOW, POSTGRESQL, has_replaced=True, patient=True) == "final"
    assert meaning(THROTTLED, login, NOW, POSTGRESQL, has_replaced=True, patient=True) != "final"


@given(errors, histories, histories, st.booleans(), st.booleans())
def test_what_always_holds(
    error: Exception, accepted_at: float, before: float, replaced: bool, patient: bool
) -> None:
    """Credentials are replaced once at the most, and nothing waits that may not."""
    login = Login(accepted_at, before)
    found = meaning(error, login, NOW, POSTGRESQL, has_replaced=replaced, patient=patient)
    assert (found == "other") == (error is ELSE)
    if found == "replace":
        assert not replaced
        assert error in {REFUSED, AT_PROXY}
        assert (
            meaning(error, login, NOW, POSTGRESQL, has_replaced=True, patient=patient) != "replace"
        )
    if found == "throttled":
        assert patient
        is_open = accepted_at != NEVER or before == NEVER
        assert error is THROTTLED or (error is REFUSED and is_open)
    assert (login.accepted_at, login.first_until) == (accepted_at, NEVER)
