"""The doctor finds nothing wrong where nothing is, and warns of what is not wrong yet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import botocore.session
import pytest
from doctor_faults import ALIAS
from doctor_faults_login import PROXY
from doctor_support import Ward, assert_no_secret, pose, printed
from sqlalchemy import make_url
from sqlalchemy.pool import NullPool

from sqlalchemy_rds_iam.doctor import Report, Status, examine, options
from sqlalchemy_rds_iam.testing.aws.service import AwsError

Setup = Callable[[Ward], None]


def _healthy(report: Report, ward: Ward, *warnings: str) -> None:
    assert report.healthy, printed(report)
    assert [finding.code for finding in report.warnings] == list(warnings)
    statuses = {outcome.check: outcome.status for outcome in report.outcomes}
    if not warnings:
        assert set(statuses.values()) <= {Status.OK, Status.NOTE}, printed(report)
    assert [decision.granted for decision in ward.rds.decisions] == [True, True]
    assert_no_secret(report, ward)


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg", "psycopg2", "pg8000"])
def test_drivers(driver: str, ward: Ward) -> None:
    """Every driver; one login by hand, and one through the plugin."""
    ward.url = ward.rds.url(f"postgresql+{driver}")
    report = ward.examine()
    _healthy(report, ward)
    assert "PostgreSQL" in report.outcomes[-1].findings[0].summary


def _role(ward: Ward) -> None:
    role = ward.rds.identities.role("orders", external_id="team-42")
    ward.options(rds_iam_role_arn=role.arn, rds_iam_external_id="team-42")


def _cname(ward: Ward) -> None:
    pytest.importorskip("dns", reason="dnspython is not installed")
    from dns_support import dns_server

    ward.cleanup.enter_context(dns_server()).point(ALIAS, ward.rds.endpoint.host)
    ward.options("rds_iam_host", rds_iam_resolve_cname="on")
    ward.url = make_url(ward.url).set(host=ALIAS)


def _address_beside_the_name(ward: Ward) -> None:
    host, port = ward.rds.address
    ward.options("rds_iam_host", hostaddr=host)
    ward.url = make_url(ward.url).set(host=ward.rds.endpoint.host, port=port)


def _session_object(ward: Ward) -> None:
    ward.keywords["rds_iam_session"] = botocore.session.Session()


def _plugin_as_a_keyword(ward: Ward) -> None:
    ward.url = make_url(ward.url).difference_update_query(["plugin"])
    ward.keywords["plugins"] = ["rds_iam"]


def _temporary_keys(ward: Ward) -> None:
    ward.use(ward.rds.identities.issue(ward.rds.key.principal, 900.0))


def _container(ward: Ward) -> None:
    ward.no_keys()
    ward.patch.setattr(ward.rds.aws.container, "role", ward.rds.identities.role("task"))
    ward.patch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", ward.rds.aws.container_url)


def _instance(ward: Ward) -> None:
    ward.no_keys()
    ward.patch.setattr(ward.rds.aws.imds, "role", ward.rds.identities.role("instance"))


def _no_sts(ward: Ward) -> None:
    """A private subnet without an endpoint of STS, where keys come from elsewhere."""
    ward.rds.aws.sts.fail("reset")
    ward.cleanup.callback(ward.rds.aws.sts.recover)


def _slow_sts(ward: Ward) -> None:
    ward.rds.aws.sts.fail("hang")
    ward.cleanup.callback(ward.rds.aws.sts.recover)
    ward.timeout = 1.0


def _proxy(ward: Ward) -> None:
    pose(ward, PROXY)
    ward.options(rds_iam_host=PROXY)


def _nested_grant(ward: Ward) -> None:
    ward.rds.create_user("indirect", iam=False)
    ward.rds.execute("DROP ROLE IF EXISTS doctors; CREATE ROLE doctors; GRANT rds_iam TO doctors")
    ward.rds.execute("GRANT doctors TO indirect")
    ward.url = ward.rds.url(user="indirect")


def _clock_a_little_off(ward: Ward) -> None:
    ward.patch.setattr(ward.rds, "clock", lambda: time.time() + 10)


@pytest.mark.parametrize(
    "setup",
    [
        _role,
        _cname,
        _address_beside_the_name,
        _session_object,
        _plugin_as_a_keyword,
        _temporary_keys,
        _container,
        _instance,
        _no_sts,
        _slow_sts,
        _proxy,
        _nested_grant,
        _clock_a_little_off,
    ],
)
def test_setups(setup: Setup, ward: Ward) -> None:
    """Nothing is wrong with any way of setting it up."""
    setup(ward)
    _healthy(ward.examine(), ward)


@pytest.mark.aiobotocore
def test_async_session(ward: Ward) -> None:
    """A session of aiobotocore, from a coroutine, in a thread."""
    from aiobotocore.session import AioSession

    url = ward.rds.url("postgresql+asyncpg")

    async def run() -> Report:
        return await asyncio.to_thread(examine, url, rds_iam_session=AioSession())

    _healthy(asyncio.run(run()), ward)


def _require(ward: Ward) -> None:
    ward.options("rds_iam_ca", rds_iam_tls="require")


def _plugin_not_named(ward: Ward) -> None:
    ward.url = make_url(ward.url).difference_update_query(["plugin"])


def _large_pool(ward: Ward) -> None:
    ward.keywords |= {"pool_size": 300, "max_overflow": 300}


def _nearly_full(ward: Ward) -> None:
    ward.rds.create_user("single")
    ward.rds.execute("ALTER ROLE single CONNECTION LIMIT 1")
    ward.url = ward.rds.url(user="single")
    ward.keywords["poolclass"] = NullPool


def _superuser(ward: Ward) -> None:
    ward.rds.execute("DROP ROLE IF EXISTS rds_superuser; CREATE ROLE rds_superuser")
    ward.cleanup.callback(ward.rds.execute, "DROP ROLE rds_superuser")
    ward.rds.create_user("master")
    ward.rds.execute("GRANT rds_superuser TO master")
    ward.url = ward.rds.url(user="master")


def _clock_inexact(ward: Ward) -> None:
    ward.patch.setattr(ward.rds, "clock", lambda: time.time() + 100)


def _ending(ward: Ward) -> None:
    end = datetime.fromtimestamp(time.time() + 50, UTC).isoformat()
    key = ward.rds.identities.issue(ward.rds.key.principal, 50.0)
    config = ward.directory / "config"
    keys = (
        f'{{"Version": 1, "AccessKeyId": "{key.access_key}", "SecretAccessKey": '
        f'"{key.secret_key}", "SessionToken": "{key.session_token}", "Expiration": "{end}"}}'
    )
    (ward.directory / "keys").write_text(keys)
    config.write_text(f"[profile vault]\ncredential_process = cat {ward.directory / 'keys'}\n")
    ward.patch.setenv("AWS_CONFIG_FILE", str(config))
    ward.options(rds_iam_profile="vault")


@pytest.mark.parametrize(
    ("setup", "code"),
    [
        (_require, "tls-unverified"),
        (_plugin_not_named, "plugin-not-named"),
        (_large_pool, "pool-too-large"),
        (_nearly_full, "connections-scarce"),
        (_superuser, "user-powerful"),
        (_clock_inexact, "clock-inexact"),
        (_ending, "session-ending"),
    ],
)
def test_warnings(setup: Setup, code: str, ward: Ward) -> None:
    """What keeps no user from connecting is a warning, and the set-up is healthy."""
    setup(ward)
    report = ward.examine()
    _healthy(report, ward, code)
    assert report.warnings[0].fix


def test_a_working_login_counts(ward: Ward) -> None:
    """What STS has against keys that the database accepts is a warning, no cause."""
    user = ward.rds.identities.user("undecided")
    ward.use(ward.rds.identities.issue(user))
    ward.rds.aws.sts.fail(AwsError(403, "InvalidClientTokenId", "The security token is invalid."))
    ward.cleanup.callback(ward.rds.aws.sts.recover)
    _healthy(ward.examine(), ward, "keys-invalid")


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
