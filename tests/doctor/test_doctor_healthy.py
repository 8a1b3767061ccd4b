"""The doctor finds nothing wrong where nothing is, in every kind of set-up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import doctor_setups
import pytest
from doctor_support import Ward, assert_healthy, assert_no_secret
from worlds import drivernames

from sqlalchemy_rds_iam._databases import known
from sqlalchemy_rds_iam.doctor import Report, Status, examine, options

Setup = Callable[[Ward], None]


TITLES = {"postgresql": "PostgreSQL", "mysql": "MySQL", "mariadb": "MariaDB"}


@pytest.mark.parametrize("drivername", drivernames())
def test_drivers(drivername: str, ward: Ward) -> None:
    """Every driver; one login by hand, and one through the plugin."""
    ward.url = ward.rds.url(drivername)
    # Drivers that verify the name they connect to are at an address here, for which RDS signs not.
    by_name = known.DRIVERS[drivername.partition("+")[2]].tunnels
    report = ward.examine()
    assert_healthy(report, ward, *(() if by_name else ("name-not-endpoint",)))
    title = TITLES[drivername.partition("+")[0]]
    assert report.outcomes[-1].findings[0].summary.startswith(f"{title} ")


@pytest.mark.parametrize(
    "setup",
    [
        doctor_setups.one_connection_for_the_user,
        doctor_setups.sessions_in_another_database,
        doctor_setups.keys_from_a_process,
        doctor_setups.web_identity,
        doctor_setups.chain_of_roles,
        doctor_setups.reader,
        doctor_setups.writer,
        doctor_setups.reads_by_role,
        doctor_setups.role,
        doctor_setups.cname,
        doctor_setups.address_beside_the_name,
        doctor_setups.session_object,
        doctor_setups.plugin_as_a_keyword,
        doctor_setups.temporary_keys,
        doctor_setups.container,
        doctor_setups.instance,
        doctor_setups.no_sts,
        doctor_setups.slow_sts,
        doctor_setups.proxy,
        doctor_setups.nested_grant,
        doctor_setups.clock_a_little_off,
    ],
)
def test_setups(setup: Setup, ward: Ward) -> None:
    """Nothing is wrong with any way of setting it up."""
    setup(ward)
    assert_healthy(ward.examine(), ward)


@pytest.mark.parametrize("family", ["mysql"])
@pytest.mark.parametrize(
    "setup",
    [
        doctor_setups.no_database,
        doctor_setups.one_connection_for_the_account,
        doctor_setups.token_in_the_first_packet,
        doctor_setups.by_the_endpoint_of_a_reader,
        doctor_setups.reader,
        doctor_setups.writer,
        doctor_setups.role,
        doctor_setups.cname,
        doctor_setups.session_object,
        doctor_setups.temporary_keys,
        doctor_setups.container,
        doctor_setups.no_sts,
        doctor_setups.proxy,
        doctor_setups.clock_a_little_off,
    ],
)
def test_setups_of_mysql(setup: Setup, family: str, ward: Ward) -> None:
    """Nor is it with those of MySQL, and those that have nothing to do with the database."""
    assert ward.driver.startswith(family)
    setup(ward)
    assert_healthy(ward.examine(), ward)


@pytest.mark.aiobotocore
def test_async_session(ward: Ward) -> None:
    """A session of aiobotocore, from a coroutine, in a thread."""
    from aiobotocore.session import AioSession

    url = ward.rds.url("postgresql+asyncpg")

    async def run() -> Report:
        return await asyncio.to_thread(examine, url, rds_iam_session=AioSession())

    assert_healthy(asyncio.run(run()), ward)


def test_a_check_that_fails(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of the doctor's own ends one check, and is told; the others go on."""

    def fail(*_: Any) -> Any:
        raise ValueError(ward.rds.key.secret_key)

    monkeypatch.setattr(options, "_settled", fail)
    report = ward.examine()
    assert [finding.code for finding in report.warnings] == ["doctor-failed"]
    assert "ValueError" in report.warnings[0].summary
    assert report.healthy
    assert_no_secret(report, ward)


def test_what_was_looked_at(ward: Ward) -> None:
    """The checks are told of as they begin, and each has a line in the report, even if skipped."""
    told: list[str] = []
    report = examine("postgresql+psycopg://app@/app?plugin=rds_iam", tell=told.append)
    assert told == [outcome.check for outcome in report.outcomes]
    assert told[0] == "Options"
    assert len(told) == 8
    skipped = [outcome.status for outcome in report.outcomes if outcome.status is Status.SKIPPED]
    assert len(skipped) == 7
    assert report.causes[0].code == "option-wrong"
    assert "names no host" in report.causes[0].summary
