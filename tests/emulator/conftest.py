"""Fixtures of the emulator's tests: an account alone, both SDKs, and a user of a secret."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from emulator_support import Do
from secrets_support import call

from sqlalchemy_rds_iam.testing import RdsEmulator

# It skips what imports it where there is no aiobotocore, and this file is for all tests here.
if TYPE_CHECKING:
    from aws_support import Account


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Account]:
    """A served account, alone on the machine."""
    from aws_support import served_account

    with served_account(monkeypatch, tmp_path) as account:
        yield account


@pytest.fixture(params=[False, True], ids=["botocore", "aiobotocore"])
def ask_sts(request: pytest.FixtureRequest, account: Account) -> Do:
    """Performs one STS operation with a client of either SDK."""
    from aws_support import call_sts

    return functools.partial(call_sts, account, request.param)


@pytest.fixture(
    params=[False, pytest.param(True, marks=pytest.mark.aiobotocore)],
    ids=["botocore", "aiobotocore"],
)
def ask_secrets(request: pytest.FixtureRequest, rds: RdsEmulator) -> Do:
    """Performs one operation of Secrets Manager with a client of either SDK."""
    return functools.partial(call, rds, request.param)


@pytest.fixture
def user(rds: RdsEmulator) -> Iterator[str]:
    """A database user that has not been rotated yet."""
    name = "rotated"
    yield name
    rds.execute(f"DROP ROLE IF EXISTS {name}_clone; DROP ROLE IF EXISTS {name}")


@pytest.fixture
def mysql(rds_iam_mysql_environment: RdsEmulator) -> RdsEmulator:
    """The emulator of MySQL, and an environment in which it is all of AWS."""
    return rds_iam_mysql_environment
