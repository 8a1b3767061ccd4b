"""Names, ARNs and staging labels of secrets, for any of them."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam.testing import AwsError
from sqlalchemy_rds_iam.testing.aws.secret_store import SecretStore

REGION = "eu-central-1"

names = st.from_regex(r"[A-Za-z0-9/_+=.@!-]{1,60}", fullmatch=True)
labels = st.sampled_from(["AWSCURRENT", "AWSPENDING", "mine"])


@given(names, st.text(max_size=80))
def test_spellings(name: str, other: str) -> None:
    """Name and ARN find a secret, a partial ARN does if it does not look like a complete one."""
    store = SecretStore(time.time)
    secret = store.create(REGION, name)
    assert secret.arn.startswith(f"arn:aws:secretsmanager:{REGION}:123456789012:secret:{name}-")
    assert store.find(REGION, name) is secret
    assert store.find(REGION, secret.arn) is secret
    suffixed = re.fullmatch(r".*-[A-Za-z0-9]{6}", name)
    assert store.find(REGION, secret.arn[:-7]) is (None if suffixed else secret)
    for identifier in (name, secret.arn, secret.arn[:-7]):
        assert store.find("us-east-1", identifier) is None
    assert store.find(REGION, other) is (secret if other == name else None)


@given(st.text().filter(lambda name: not re.fullmatch(r"[A-Za-z0-9/_+=.@!-]{1,512}", name)))
def test_names_that_are_none(name: str) -> None:
    """Anything else is no name, and leaves no secret behind."""
    store = SecretStore(time.time)
    with pytest.raises(AwsError, match="ValidationException"):
        store.create(REGION, name)
    assert store.find(REGION, name) is None


@given(st.lists(st.tuples(labels, st.integers(0, 5)), max_size=20))
def test_labels(moves: list[tuple[str, int]]) -> None:
    """Whatever is done, one version is current, and previous is the one that was so before it."""
    secret = SecretStore(time.time).create(REGION, "app")
    secret.put("v0", "value", ["AWSPENDING"], 0.0)
    current = ["v0"]
    for stage, number in moves:
        version_id = f"v{number}"
        if version_id in secret.versions:
            secret.attach(stage, version_id)
        else:
            secret.put(version_id, "value", [stage], 0.0)
        if stage == "AWSCURRENT" and current[-1] != version_id:
            current.append(version_id)
        assert secret.labels["AWSCURRENT"] == current[-1]
        assert secret.labels.get("AWSPREVIOUS") == (current[-2] if current[1:] else None)
        assert secret.find(None, None).version_id == current[-1]
        held = [each for version in secret.versions for each in secret.stages(version)]
        assert sorted(held) == sorted(secret.labels)
