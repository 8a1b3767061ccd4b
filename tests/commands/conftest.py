"""Fixtures of the tests of commands."""

from __future__ import annotations

import pytest
from cli_support import clients_url

from sqlalchemy_rds_iam.testing import RdsEmulator


@pytest.fixture
def mysql(rds_iam_mysql_environment: RdsEmulator) -> RdsEmulator:
    """The emulator of MySQL, and an environment in which it is all of AWS."""
    return rds_iam_mysql_environment


@pytest.fixture
def mysql_url(mysql: RdsEmulator) -> str:
    """Of an address that is in the certificate, as MySQL's clients verify what they dial."""
    return clients_url(mysql)
