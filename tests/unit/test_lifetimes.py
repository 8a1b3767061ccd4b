"""How long tokens and failures count: to the moment, and spread where it has to be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam import CredentialsError, Endpoint
from sqlalchemy_rds_iam._passwords.cache_entry import CacheEntry
from sqlalchemy_rds_iam._passwords.expiry import Outage, stale_at
from sqlalchemy_rds_iam._passwords.password import IssuedPassword, MaskedStr

NOW = 1_000_000.0
ENDPOINT = Endpoint("db.abc.us-east-1.rds.amazonaws.com", 5432, "app", "us-east-1")
ERROR = CredentialsError("no route")


@given(st.floats(0.001, 1e5))
def test_a_token_is_signed_anew_in_its_last_third(life: float) -> None:
    """Two thirds of its life it is used as it is."""
    token = IssuedPassword(MaskedStr("x"), NOW, NOW + life)
    assert stale_at(token) - NOW == pytest.approx(life / 3 * 2, abs=1e-6)
    assert token.fresh_until < NOW
    assert not token.accepted


def test_a_masked_text() -> None:
    """Drivers get the text in every way in which they ask for it, and reports get none of it."""
    password = MaskedStr("canary")
    assert (str(password), password(), password.encode()) == ("canary", "canary", b"canary")
    assert type(password()) is str
    assert repr([password]) == "[<masked, 6 characters>]"


@pytest.mark.parametrize(
    ("after", "fresh"),
    [(-0.001, False), (0.0, True), (300.0, True), (599.999, True), (600.0, False), (1e9, False)],
)
def test_when_nothing_needs_to_be_done(after: float, fresh: bool) -> None:
    """From its signature on, which may be in the future by a clock that was set back."""
    entry = CacheEntry(ENDPOINT)
    assert entry.endpoint is ENDPOINT
    assert entry.fresh(NOW) is None
    entry.token = IssuedPassword(MaskedStr("x"), NOW, NOW + 900, NOW + 600)
    assert entry.fresh(NOW + after) is (entry.token if fresh else None)


def test_a_new_entry() -> None:
    """No login was accepted there, and the first has not begun."""
    entry = CacheEntry(ENDPOINT)
    assert (entry.accepted_at, entry.first_until) == (float("-inf"), float("-inf"))
    assert (entry.token, entry.signer) == (None, None)


def test_failures_in_a_row() -> None:
    """Each is counted; the beginning is the first one's, the end and the error the last one's."""
    first = Outage(CredentialsError("before"), NOW, None)
    assert (first.failures, first.began_at, first.failed_at) == (1, NOW, NOW)
    second = Outage(ERROR, NOW + 5, first)
    assert (second.failures, second.began_at, second.failed_at) == (2, NOW, NOW + 5)
    assert second.error is ERROR
    assert Outage(ERROR, NOW + 9, second).failures == 3


@pytest.mark.parametrize(
    ("failures", "pause"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (5000, 60)]
)
def test_pauses_after_failures(failures: int, pause: float) -> None:
    """They are doubled up to a minute, and spread over their second half."""
    before: Outage | None = None
    if failures > 1:
        before = Outage(ERROR, NOW, None)
        before.failures = failures - 1
    pauses = [Outage(ERROR, NOW, before).retry_at - NOW for _ in range(200)]
    assert pause / 2 <= min(pauses) < 0.6 * pause
    assert 0.9 * pause < max(pauses) <= pause
