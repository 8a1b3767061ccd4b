"""aiobotocore that is installed and cannot be imported: an error for who asks for it, only."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rds_secret_support import secret_url
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam import CredentialsError, SecretError
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
    """Who has not asked for aiobotocore does not notice: many tasks share one fetch in a thread."""
    before = rds.aws.sts.calls["AssumeRole"]
    with caplog.at_level(logging.WARNING, "sqlalchemy_rds_iam"):
        url = rds.url("postgresql+asyncpg", **role)
        database = databases(url, is_async=True, poolclass=NullPool)
        assert database.storm(5) == [1] * 5
    assert rds.aws.sts.calls["AssumeRole"] - before == 1
    assert not database.inside.source._by_loop
    assert not caplog.records


@pytest.mark.usefixtures("broken")
def test_it_was_asked_for(
    databases: Callable[..., Database], rds: RdsEmulator, role: dict[str, str]
) -> None:
    """An engine that names aiobotocore is not given something else, at any try."""
    options = role | {"rds_iam_credentials": "aiobotocore", "rds_iam_failure_ttl": "0"}
    url = rds.url("postgresql+asyncpg", **options)
    database = databases(url, is_async=True)
    for _ in range(2):
        error: Any = database.raises(CredentialsError)
        assert "aiobotocore cannot be imported (" in str(error)
        assert not error.retryable


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("credentials", ["auto", "aiobotocore"])
def test_secrets(databases: Callable[..., Database], rds: RdsEmulator, credentials: str) -> None:
    """The same for passwords."""
    secret = rds.secrets.create("prod/app", "keeper")
    host, port = rds.address
    url = secret_url(rds, secret, "postgresql+asyncpg", rds_secret_credentials=credentials)
    url = url.set(host=host, port=port, database="postgres")
    database = databases(url, is_async=True)
    if credentials == "auto":
        assert database.scalar("select current_user") == "keeper"
    else:
        error = database.raises(SecretError)
        assert "cannot be asked for: aiobotocore cannot be imported (" in str(error)
