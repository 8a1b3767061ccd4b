"""Fixtures of the fault tests: the three ways of fetching, and providers that can be broken."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.configprovider
import botocore.credentials
import botocore.utils
import pytest
from faults_support import AWS_WAYS, LIFE, Clock, Provider, Way
from patience import DEADLINE
from worlds import Database

from sqlalchemy_rds_iam import plugin, secret_plugin
from sqlalchemy_rds_iam._aws import container_agent, sessions
from sqlalchemy_rds_iam._passwords.cache import PasswordCache
from sqlalchemy_rds_iam.testing import RdsEmulator

# It keeps botocore's clock as it finds it when it is imported: not one that a test has replaced.
with contextlib.suppress(ImportError):
    import aiobotocore.credentials  # noqa: F401

# On a busy machine botocore would ask twice: two seconds are all that it waits for an answer.
_TIMEOUT = botocore.utils.ContainerMetadataFetcher.TIMEOUT_SECONDS

_WAYS = {
    "sync": Way("postgresql+psycopg", False, "botocore"),
    "async-botocore": Way("postgresql+asyncpg", True, "botocore"),
    "async-aiobotocore": Way("postgresql+asyncpg", True, "aiobotocore"),
    "mysql": Way("mysql+pymysql", False, "botocore"),
    "mysql-async": Way("mysql+asyncmy", True, "botocore"),
}


@pytest.fixture(params=AWS_WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    """Each way of fetching, with one driver for it; of both families where a test says so."""
    return _WAYS[request.param]


@pytest.fixture
def open_database(
    rds: RdsEmulator, way: Way, databases: Callable[..., Database]
) -> Callable[..., Database]:
    """Make a database of this test's way on the emulator, with more URL options."""

    def make(*, user: str = "app", options: dict[str, str] | None = None, **kw: Any) -> Database:
        options = {"rds_iam_credentials": way.credentials} | (options or {})
        return databases(rds.url(way.drivername, user, **options), is_async=way.is_async, **kw)

    return make


@pytest.fixture
def clock(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The one clock of AWS, of botocore, of the database and of the engines of this test."""
    clock = Clock()
    monkeypatch.setattr(rds, "clock", clock)
    refreshable = botocore.credentials.RefreshableCredentials
    monkeypatch.setattr(
        refreshable, "_seconds_remaining", lambda it: it._expiry_time.timestamp() - clock()
    )
    now = lambda: datetime.fromtimestamp(clock(), UTC)  # noqa: E731
    monkeypatch.setattr(botocore.credentials, "_local_now", now)
    # What botocore signs its requests with remains the real time.
    monkeypatch.setattr(rds.aws.sts, "clock_skew", float("inf"))
    for module in (plugin, secret_plugin):
        monkeypatch.setattr(module, "PasswordCache", functools.partial(PasswordCache, clock=clock))
    return clock


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """One try, and a second and a half for it, is all that botocore has."""
    monkeypatch.setitem(sessions.NETWORK, "connect_timeout", 1.5)
    monkeypatch.setitem(sessions.NETWORK, "read_timeout", 1.5)
    monkeypatch.setitem(sessions.NETWORK, "retries", {"mode": "standard", "total_max_attempts": 1})
    for name, value in {"TIMEOUT_SECONDS": 1.5, "RETRY_ATTEMPTS": 1, "SLEEP_TIME": 0}.items():
        monkeypatch.setattr(botocore.utils.ContainerMetadataFetcher, name, value)
    monkeypatch.setattr(container_agent, "DEADLINE", 1.5)
    monkeypatch.setitem(
        botocore.configprovider.BOTOCORE_DEFAUT_SESSION_VARIABLES,
        "metadata_service_timeout",
        ("metadata_service_timeout", "AWS_METADATA_SERVICE_TIMEOUT", 1.5, None),
    )


@pytest.fixture(params=["assume-role", "iam-role", "container-role"])
def provider(
    request: pytest.FixtureRequest,
    rds: RdsEmulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Provider]:
    """Each provider that asks over the network, as the only source of credentials there is.

    Without anything else of AWS's, a container's is asked without botocore.
    """
    if request.param == "container-role":
        for variable in rds.aws.environ():
            monkeypatch.delenv(variable, raising=False)
    yield from _provider(request.param, rds, monkeypatch, tmp_path)


@pytest.fixture
def container(
    rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Provider]:
    """A container's credentials endpoint, for tests to which the provider does not matter."""
    yield from _provider("container-role", rds, monkeypatch, tmp_path)


@pytest.fixture
def sts(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Provider]:
    """A profile that assumes a role."""
    yield from _provider("assume-role", rds, monkeypatch, tmp_path)


@pytest.fixture
def imds(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Provider]:
    """An instance's metadata service."""
    yield from _provider("iam-role", rds, monkeypatch, tmp_path)


def _provider(
    name: str, rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch, directory: Path
) -> Iterator[Provider]:
    for variable in rds.key.environ():
        monkeypatch.delenv(variable)
    provider = {
        "assume-role": Provider(rds, name, rds.aws.sts, "AWS_ENDPOINT_URL_STS"),
        "iam-role": Provider(rds, name, rds.aws.imds, "AWS_EC2_METADATA_SERVICE_ENDPOINT"),
        "container-role": Provider(
            rds, name, rds.aws.container, "AWS_CONTAINER_CREDENTIALS_FULL_URI"
        ),
    }[name]
    service = provider.service
    fetcher = botocore.utils.ContainerMetadataFetcher
    if fetcher.TIMEOUT_SECONDS == _TIMEOUT:
        monkeypatch.setattr(fetcher, "TIMEOUT_SECONDS", DEADLINE)
        monkeypatch.setattr(container_agent, "DEADLINE", DEADLINE)
    monkeypatch.setenv(provider.variable, provider.url)
    monkeypatch.setattr(service, "lifetime", LIFE)
    if name == "assume-role":
        _write_role(directory / "config", rds, provider.role.arn)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(directory / "config"))
        monkeypatch.setenv("AWS_PROFILE", "app")
    else:
        if name == "iam-role":
            # So that botocore believes in the short life that these tests give to credentials.
            monkeypatch.setattr(service, "whole_seconds", False)
        monkeypatch.setattr(service, "role", provider.role)
        monkeypatch.setattr(service, "_key", None)
    yield provider
    provider.recover(monkeypatch)


def _write_role(file: Path, rds: RdsEmulator, arn: str) -> None:
    file.write_text(
        "[profile app]\n"
        f"role_arn = {arn}\n"
        "source_profile = base\n"
        "duration_seconds = 900\n"
        "[profile base]\n"
        f"aws_access_key_id = {rds.key.access_key}\n"
        f"aws_secret_access_key = {rds.key.secret_key}\n"
    )
