"""aiobotocore that is installed and cannot be imported: a thread fetches, with one warning."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam import CredentialsError
from sqlalchemy_rds_iam._aws import sessions
from sqlalchemy_rds_iam.testing import RdsEmulator

pytestmark = pytest.mark.aiobotocore

DEFECTS = {
    "botocore is too new": "from botocore.utils import gone_since_yesterday",
    "botocore is too old": "import botocore.utils\nbotocore.utils.not_there_yet",
    "a dependency is missing": "import no_such_module_of_aiobotocore",
    "another signature": "int(1, 2, 3)",
}


@pytest.fixture(params=DEFECTS)
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An aiobotocore that is found, and fails to be imported."""
    package = tmp_path / "aiobotocore"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "config.py").write_text("")
    (package / "session.py").write_text(DEFECTS[request.param])
    for name in [name for name in sys.modules if name.partition(".")[0] == "aiobotocore"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sessions, "_unusable", [])
    monkeypatch.setattr(sessions, "_read", sessions._read - {"aiobotocore"})


@pytest.fixture
def role(rds: RdsEmulator) -> dict[str, str]:
    """Options with which credentials do not come from the environment alone."""
    return {"rds_iam_role_arn": rds.identities.role("behind").arn}


@pytest.mark.usefixtures("broken")
def test_a_thread_fetches(
    databases: Callable[..., Database],
    rds: RdsEmulator,
    role: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing that was asked for is lost, so it is a warning, once, and connects go on."""
    with caplog.at_level(logging.WARNING, "sqlalchemy_rds_iam"):
        for user in ("app", "app"):
            url = rds.url("postgresql+asyncpg", user, **role)
            database = databases(url, is_async=True, poolclass=NullPool)
            assert database.scalar("select 1") == 1
            database.inside.cache._cached = None
            assert database.scalar("select 1") == 1
            assert not database.inside.source._by_loop
    [record] = caplog.records
    assert "aiobotocore is installed and cannot be imported" in record.getMessage()


@pytest.mark.usefixtures("broken")
def test_it_was_asked_for(
    databases: Callable[..., Database], rds: RdsEmulator, role: dict[str, str]
) -> None:
    """An engine that names aiobotocore is not given something else."""
    options = role | {"rds_iam_credentials": "aiobotocore"}
    url = rds.url("postgresql+asyncpg", **options)
    error: Any = databases(url, is_async=True).raises(CredentialsError)
    assert "aiobotocore cannot be imported (" in str(error)
    assert not error.retryable


@pytest.mark.usefixtures("broken")
def test_secrets(databases: Callable[..., Database], rds: RdsEmulator) -> None:
    """Passwords are fetched in a thread as well."""
    secret = rds.secrets.create("prod/app", "keeper")
    query = {
        "plugin": "rds_secret",
        "rds_secret_id": secret.name,
        "rds_secret_host": rds.endpoint.host,
        "rds_secret_ca": str(rds.ca_file),
        "rds_secret_region": rds.endpoint.region,
    }
    host, port = rds.address
    url = URL.create("postgresql+asyncpg", host=host, port=port, database="postgres", query=query)
    assert databases(url, is_async=True).scalar("select current_user") == "keeper"


@pytest.mark.usefixtures("broken")
def test_the_loop_goes_on(
    databases: Callable[..., Database], rds: RdsEmulator, role: dict[str, str]
) -> None:
    """Many tasks share one fetch in a thread, and the failed import holds none of them up."""
    url = rds.url("postgresql+asyncpg", **role)
    database = databases(url, is_async=True, poolclass=NullPool)

    before = rds.aws.sts.calls["AssumeRole"]
    assert database.storm(5) == [1] * 5
    assert rds.aws.sts.calls["AssumeRole"] - before == 1
