"""What a failed login means: of the error, the history and the time alone, without an engine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam._connecting.refusals import meaning
from sqlalchemy_rds_iam._databases.postgresql import POSTGRESQL
from sqlalchemy_rds_iam._ratelimit.retry_policy import NEVER, RECENT

NOW = 1000.0
REFUSED = Exception('connection failed: FATAL:  PAM authentication failed for user "app"')
THROTTLED = Exception("FATAL:  Rate of connection to proxy exceeded the limit")
ELSE = Exception("connection refused")

histories = st.just(NEVER) | st.floats(0, NOW)
errors = st.sampled_from((REFUSED, THROTTLED, ELSE))


class Login:
    """The logins at one place so far."""

    def __init__(self, accepted_at: float) -> None:
        self.accepted_at = accepted_at
        self.first_until = self.accepted_before = NEVER


@pytest.mark.parametrize(
    ("error", "age", "replaced", "patient", "expected"),
    [
        (REFUSED, None, False, True, "replace"),  # it may be the first token, of old credentials
        (REFUSED, None, True, True, "final"),  # a user who was never let in
        (REFUSED, RECENT / 2, False, True, "throttled"),  # the credentials are good
        (REFUSED, RECENT, False, True, "throttled"),
        (REFUSED, 2 * RECENT, False, True, "replace"),
        (REFUSED, 2 * RECENT, True, True, "throttled"),
        # Without patience, new credentials are all that there is to try.
        (REFUSED, RECENT / 2, False, False, "replace"),
        (REFUSED, RECENT / 2, True, False, "final"),
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


@given(errors, histories, st.booleans(), st.booleans())
def test_what_always_holds(
    error: Exception, accepted_at: float, replaced: bool, patient: bool
) -> None:
    """Credentials are replaced once at the most, and nothing waits that may not."""
    login = Login(accepted_at)
    found = meaning(error, login, NOW, POSTGRESQL, has_replaced=replaced, patient=patient)
    assert (found == "other") == (error is ELSE)
    if found == "replace":
        assert not replaced
        assert error is REFUSED
        assert (
            meaning(error, login, NOW, POSTGRESQL, has_replaced=True, patient=patient) != "replace"
        )
    if found == "throttled":
        assert patient
        assert error is THROTTLED or accepted_at != NEVER
    assert (login.accepted_at, login.first_until) == (accepted_at, NEVER)
