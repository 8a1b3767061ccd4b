"""Credentials: what may be told of them, how long they are used, and how soon they are renewed."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from botocore import credentials as providers
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam import CredentialsError, Identity
from sqlalchemy_rds_iam._aws.sigv4 import Credentials
from sqlalchemy_rds_iam._masking import masked
from sqlalchemy_rds_iam._passwords.expiry import CHEAP_PAUSE, LONGEST_PAUSE

NOW = 1_000_000.0


def test_a_snapshot() -> None:
    """They stay as they were fetched, and have no dictionary that a report would show."""
    keys = Credentials("AKIAIOSFODNN7EXAMPLE", "canary-of-the-key")
    with pytest.raises(FrozenInstanceError):
        keys.secret_key = "another"  # type: ignore[misc]
    assert not hasattr(keys, "__dict__")


@pytest.mark.parametrize(
    ("key_id", "shown"),
    [
        ("AKIAIOSFODNN7EXAMPLE", "AKIA…MPLE"),
        ("AKIA567890123456", "AKIA…3456"),  # the shortest that AWS knows has 16 characters
        ("AKIA56789012345", "…2345"),  # both ends would be more than half of it
        ("made-up", "…e-up"),
    ],
)
def test_who_signs(key_id: str, shown: str) -> None:
    """Both ends of a key id tell which one it is, and not what it is; and the provider is told."""
    assert Credentials(key_id, "s", provider="sso").identity() == Identity(shown, "sso")
    assert Credentials(key_id, "s").identity().provider == "unknown"


READ_AGAIN = (
    providers.EnvProvider,
    providers.SharedCredentialProvider,
    providers.ConfigProvider,
    providers.OriginalEC2Provider,
    providers.BotoProvider,
)
CALLED = (
    providers.AssumeRoleProvider,
    providers.AssumeRoleWithWebIdentityProvider,
    providers.ContainerProvider,
    providers.InstanceMetadataProvider,
    providers.ProcessProvider,
    providers.SSOProvider,
)


@pytest.mark.parametrize("provider", READ_AGAIN + CALLED)
@pytest.mark.parametrize("expires_at", [None, NOW + 3600])
def test_how_soon_they_are_fetched_again(provider: type, expires_at: float | None) -> None:
    """While they are refused: soon, where only the environment or a file is read for it."""
    keys = Credentials("a", "b", "c", expires_at, provider.METHOD)
    expected = CHEAP_PAUSE if provider in READ_AGAIN else LONGEST_PAUSE
    assert keys.lifetimes(NOW).longest_pause == expected


def test_keys_without_an_expiry_are_used_for_ever() -> None:
    """Nothing ends them but a refusal."""
    lifetimes = Credentials("a", "b").lifetimes(NOW)
    assert lifetimes.stale_at == lifetimes.dead_at == float("inf")


@pytest.mark.parametrize(
    ("life", "stale", "dead"),
    [
        (21600, 540, 30),
        (3600, 540, 30),
        (1620, 540, 30),
        (900, 300, 30),
        (300, 100, 30),
        (90, 30, 9),
        (3, 1, 0.3),
    ],
)
def test_when_they_are_renewed(life: float, stale: float, dead: float) -> None:
    """In their last third or nine minutes; and never used in the last tenth or half a minute."""
    found = Credentials("a", "b", "c", NOW + life, "sso").lifetimes(NOW)
    assert NOW + life - found.stale_at == pytest.approx(stale)
    assert NOW + life - found.dead_at == pytest.approx(dead)


@given(st.floats(0.001, 1e5), st.floats(-1000, 1000))
def test_renewed_before_they_are_dead(life: float, earlier: float) -> None:
    """However long they live: first renewed, then not used any more, then expired."""
    now = NOW + earlier
    found = Credentials("a", "b", "c", now + life, "sso").lifetimes(now)
    assert now < found.stale_at < found.dead_at < now + life


@pytest.mark.parametrize("late", [0, 5, 3600])
def test_expired_on_arrival(late: float) -> None:
    """That they have expired already is told with how long ago, and time may mend it."""
    with pytest.raises(CredentialsError) as caught:
        Credentials("a", "b", "c", NOW - late, "sso").lifetimes(NOW)
    said = f"the credentials from 'sso' had expired {late} s before they arrived; is the clock"
    assert str(caught.value).startswith(said)
    assert caught.value.retryable


def test_the_last_second_counts() -> None:
    """A life of less than a second is a life."""
    assert Credentials("a", "b", "c", NOW + 0.5, "sso").lifetimes(NOW).dead_at > NOW


def test_what_others_say_of_them_is_masked() -> None:
    """As long as there are such credentials, their secrets are masked in the words of others."""
    keys = Credentials("AKIAIOSFODNN7EXAMPLE", "canary-of-the-key", "canary-of-the-session")
    said = masked(f"{keys.access_key} with canary-of-the-key in canary-of-the-session")
    assert "AKIAIOSFODNN7EXAMPLE with" in said
    assert "canary" not in said
