"""Support for the tests of providers: a place to set them up in, and what a login tells of them.

The set-ups themselves are in `providers_catalogue`, the fixture in `conftest.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.credentials
import botocore.session
import botocore.tokens
import pytest
from faults_support import Way
from worlds import Database

from sqlalchemy_rds_iam.testing import AccessKey, Principal, RdsEmulator

LIFE = 3600.0
"""Seconds that the credentials of this module live, except for those of an instance: six times."""

START_URL = "https://app.awsapps.com/start"


@dataclass
class Provider:
    """A provider that has been set up.

    Attributes:
        method: botocore's name for it.
        principal: Who connects through it.
        options: What the engine needs to be told.
        keywords: The same, as keywords.
        put: Puts new credentials where a deployment would put them, if it does at all.
    """

    method: str
    principal: Principal
    options: dict[str, str] = field(default_factory=dict)
    keywords: dict[str, Any] = field(default_factory=dict)
    put: Callable[[], object] = lambda: None


class Site:
    """The place of one test: the emulated account, the environment, and a directory for files."""

    def __init__(
        self, rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch, directory: Path, way: Way
    ) -> None:
        self.rds = rds
        self.aws = rds.aws
        self.way = way
        self.directory = directory
        self.principal = rds.identities.role("provided")
        self.setenv, self.delenv = monkeypatch.setenv, monkeypatch.delenv
        self.setattr = monkeypatch.setattr
        for name in rds.key.environ():
            monkeypatch.delenv(name)
        monkeypatch.setattr(self.aws.sts, "_trusted", {})
        # Where botocore looks is settled when it is imported.
        self.sso_cache = directory / "sso"
        for holder in (botocore.credentials.SSOProvider, botocore.tokens.SSOTokenProvider):
            monkeypatch.setattr(holder, "_SSO_TOKEN_CACHE_DIR", str(self.sso_cache))
        for name, value in {"lifetime": LIFE, "reissue_below": 300.0, "_key": None}.items():
            monkeypatch.setattr(self.aws.container, name, value)
            monkeypatch.setattr(self.aws.imds, name, 6 * LIFE if name == "lifetime" else value)

    def config(self, *lines: str) -> None:
        """Write the shared config file."""
        self._write("config", "AWS_CONFIG_FILE", lines)

    def credentials(self, *lines: str) -> None:
        """Write the shared credentials file."""
        self._write("credentials", "AWS_SHARED_CREDENTIALS_FILE", lines)

    def issue(self, lifetime: float | None = LIFE) -> AccessKey:
        """A new key of the principal."""
        return self.rds.identities.issue(self.principal, lifetime)

    def sign_in(self, session: str, token: str, **more: Any) -> Path:
        """Do what ``aws sso login`` does for an sso-session, or for a start URL; the file."""
        self.sso_cache.mkdir(exist_ok=True)
        entry = {"startUrl": START_URL, "accessToken": token, "expiresAt": utc(8 * 3600)} | more
        file = self.sso_cache / f"{hashlib.sha1(session.encode()).hexdigest()}.json"
        file.write_text(json.dumps(entry))
        self.setattr(self.aws.sso, "access_tokens", {token})
        return file

    def _write(self, name: str, variable: str, lines: tuple[str, ...]) -> None:
        file = self.directory / name
        file.write_text("\n".join(lines))
        self.setenv(variable, str(file))


def utc(seconds: float) -> str:
    """So many seconds from now, by the clock on the wall, as in the CLI's cache."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def lines_of(key: AccessKey) -> list[str]:
    """A key as in the shared files."""
    return [f"{name.lower()} = {value}" for name, value in key.environ().items()]


def iso(key: AccessKey) -> str:
    """When a key expires."""
    return datetime.fromtimestamp(key.expires_at or 0.0, UTC).isoformat()


def session_of(way: Way, **arguments: Any) -> Any:
    """A session of whichever SDK fetches."""
    if way.credentials == "botocore":
        return botocore.session.Session(**arguments)
    from aiobotocore.session import AioSession

    return AioSession(**arguments)


def login(database: Database, rds: RdsEmulator, provider: Provider) -> Any:
    """Connect, by one login that is granted to the provider's principal, and return its key."""
    rds.clear()
    assert database.scalar(database.words.user) == "app"
    [decision] = rds.decisions
    assert decision.granted
    assert decision.principal == provider.principal.arn
    assert decision.access_key is not None
    assert database.inside.credentials.provider == provider.method
    return rds.identities.find(decision.access_key)
