"""Keys in the environment are read without botocore, and are what botocore would have read."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
from botocore.credentials import EnvProvider
from patience import DEADLINE

from sqlalchemy_rds_iam._aws.credentials import from_environment
from sqlalchemy_rds_iam.testing import RdsEmulator

VALUES = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "session",
    "AWS_SECURITY_TOKEN": "as-it-was-called-before",
    "AWS_CREDENTIAL_EXPIRATION": "2030-01-31T23:59:59Z",
    "AWS_PROFILE": "reporting",
    "AWS_DEFAULT_PROFILE": "reporting",
    "AWS_ACCOUNT_ID": "123456789012",
}
BEYOND = ("AWS_CREDENTIAL_EXPIRATION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE")


def test_as_botocore_reads_them() -> None:
    """Whatever is set, missing or empty: botocore's keys, or none, so that it is asked."""
    for values in itertools.product(*((None, "", value) for value in VALUES.values())):
        environ = {name: v for name, v in zip(VALUES, values, strict=True) if v is not None}
        found = from_environment(environ)
        if found is None:
            pair = environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY")
            assert not pair or any(environ.get(name) for name in BEYOND)
            continue
        assert not any(environ.get(name) for name in BEYOND)
        expected = EnvProvider(environ).load()
        assert (found.access_key, found.secret_key) == (expected.access_key, expected.secret_key)
        assert (found.session_token, found.provider) == (expected.token, expected.method)
        assert found.expires_at is None


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
@pytest.mark.parametrize("place", ["environment", "container"])
def test_botocore_stays_out_of_it(
    rds: RdsEmulator, driver: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With keys in the environment, or a container's, a process connects without botocore."""
    if place == "container":
        for name in (*rds.key.environ(), *rds.aws.environ()):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(rds.aws.container, "role", rds.identities.role("task"))
        monkeypatch.setattr(rds.aws.container, "_key", None)
        monkeypatch.setattr(rds.aws.container, "token", "of-the-pod")
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", rds.aws.container_url)
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "of-the-pod")
    url = rds.url(f"postgresql+{driver}").render_as_string()
    script = f"""
import asyncio, sys
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

async def connect():
    engine = create_async_engine({url!r})
    async with engine.connect():
        pass
    await engine.dispose()

if {driver == "asyncpg"}:
    asyncio.run(connect())
else:
    create_engine({url!r}).connect().close()
print(sorted(name for name in ("aiobotocore", "botocore") if name in sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_profile_comes_first(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a profile or a role is asked for, keys in the environment are not the answer."""
    from sqlalchemy_rds_iam._aws.credentials import AwsSource

    assert AwsSource(None)._plain() is not None
    assert AwsSource("reporting")._plain() is None
    assert AwsSource(None, session=object())._plain() is None
