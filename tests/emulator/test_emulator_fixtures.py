"""The fixtures users import give a clean emulator and an environment that is all of AWS."""

from __future__ import annotations

import os

import botocore.session
import psycopg
import pytest
from emulator_support import libpq

from sqlalchemy_rds_iam.testing import RdsEmulator


@pytest.fixture
def _polluted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "mine")


@pytest.mark.usefixtures("_polluted")
def test_the_environment_is_the_emulators(rds_iam_environment: RdsEmulator) -> None:
    """A stock AWS session finds the emulator's key, region and endpoints, and nothing of mine."""
    rds = rds_iam_environment
    session = botocore.session.Session()
    found = session.get_credentials().get_frozen_credentials()
    assert (found.access_key, found.token) == (rds.key.access_key, None)
    identity = session.create_client("sts").get_caller_identity()
    assert identity["Arn"] == rds.key.principal.arn
    token = session.create_client("rds").generate_db_auth_token(
        rds.endpoint.host, rds.endpoint.port, "app"
    )
    psycopg.connect(**libpq(rds, password=token)).close()
    assert "AWS_PROFILE" not in os.environ


@pytest.mark.parametrize("_time", [1, 2])
def test_each_test_starts_clean(rds_iam_environment: RdsEmulator, _time: int) -> None:
    """Records and faults of one test are not those of the next."""
    rds = rds_iam_environment
    assert rds.decisions == []
    assert set(rds.metrics.values()) == {0}
    psycopg.connect(**libpq(rds)).close()
    assert not rds.gateway.decline_tls
    rds.gateway.decline_tls = True
    rds.clock_offset = 1000
    assert len(rds.decisions) == 1


def test_the_url_is_complete(rds_iam_environment: RdsEmulator) -> None:
    """It names the plugin, the endpoint to sign for and the CA, and options may be changed."""
    rds = rds_iam_environment
    url = rds.url("postgresql+asyncpg", user="other", rds_iam_port="6000", application_name="x")
    assert (url.host, url.port) == rds.address
    assert (url.drivername, url.username, url.database) == ("postgresql+asyncpg", "other", "app")
    assert url.query == {
        "plugin": "rds_iam",
        "rds_iam_host": rds.endpoint.host,
        "rds_iam_port": "6000",
        "rds_iam_ca": str(rds.ca_file),
        "rds_iam_throttle_retry": "off",  # as nothing is throttled without a ceiling
        "application_name": "x",
    }
