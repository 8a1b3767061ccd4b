"""The doctor and rds_secret: what it does for logins by password, and says that it does not."""

from __future__ import annotations

from typing import Any

import pytest
from cli_support import shown
from doctor_faults_url import own_as_well
from doctor_support import Ward, assert_no_secret, printed
from sqlalchemy import URL
from worlds import drivernames

from sqlalchemy_rds_iam._databases import known
from sqlalchemy_rds_iam.doctor import Report, Status

USER = "keeper"


def _url(ward: Ward, drivername: str = "postgresql+psycopg", **options: str) -> URL:
    query = {
        "plugin": "rds_secret",
        "rds_secret_id": "prod/app",
        "rds_secret_host": ward.rds.endpoint.host,
        "rds_secret_ca": str(ward.rds.ca_file),
        "rds_secret_region": ward.rds.endpoint.region,
    }
    return URL.create(drivername, query=query | options)


def _examined(ward: Ward, url: URL) -> Report:
    ward.url = url
    report = ward.examine()
    assert_no_secret(report, ward)
    return report


# The others cannot verify the name of `rds_secret_host` at an address.
NAMED = [each for each in drivernames() if known.DRIVERS[each.values[0].partition("+")[2]].tunnels]


@pytest.mark.parametrize("drivername", NAMED)
def test_healthy(drivername: str, ward: Ward) -> None:
    """A login by secret is tried through the plugin; what is not looked at is said."""
    ward.secrets.add(ward.rds.secrets.create("prod/app", USER).fields()["password"])
    report = _examined(ward, _url(ward, drivername))
    assert report.healthy, printed(report)
    assert report.warnings == ()
    options, *others, database = report.outcomes
    assert "that login is tried as a whole" in options.findings[0].summary
    assert {outcome.status for outcome in others} == {Status.SKIPPED}
    assert f"as {USER!r}" in database.findings[0].summary
    assert [decision.method for decision in ward.rds.decisions] == ["password"]


def test_secret_missing(ward: Ward) -> None:
    """What Secrets Manager says is the cause, with a command that shows no password."""
    report = _examined(ward, _url(ward, rds_secret_id="prod/none"))
    [cause] = report.causes
    assert cause.code == "secret-login-failed"
    assert "does not exist: check the spelling of rds_secret_id" in cause.summary
    assert [each.text for each in cause.commands] == [
        "aws secretsmanager describe-secret --secret-id prod/none"
    ]
    assert not report.healthy


def test_password_wrong(ward: Ward) -> None:
    """A refused password is told of with what the plugin has noted about it."""
    secret = ward.rds.secrets.create("prod/app", USER)
    ward.secrets.add(secret.fields()["password"])
    ward.rds.execute(f"ALTER ROLE {USER} PASSWORD 'another'")
    ward.timeout = 2.0
    report = _examined(ward, _url(ward))
    [cause] = report.causes
    assert "password authentication failed" in cause.summary
    assert "likely causes" in cause.evidence


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"rds_secret_nmae": "x"}, "option-unknown"),
        ({"rds_secret_enabled": "off"}, "plugin-off"),
        ({"plugin": ("rds_iam", "rds_secret")}, "plugin-twice"),
    ],
)
def test_options(options: dict[str, Any], code: str, ward: Ward) -> None:
    """What create_engine() refuses is found as with the other plugin."""
    url = _url(ward).update_query_dict(options)
    if code == "plugin-twice":
        url = url.difference_update_query([key for key in url.query if key.startswith("rds_")])
    report = _examined(ward, url)
    assert [cause.code for cause in report.causes] == [code], printed(report)
    assert ward.rds.decisions == []


def test_two_owners(ward: Ward) -> None:
    """Who else owns the name rds_secret is told of; the name rds_iam does not matter here."""
    ward.rds.secrets.create("prod/app", USER)
    own_as_well(ward, "rds_secret")
    [cause] = _examined(ward, _url(ward)).causes
    assert cause.code == "plugin-owners"
    assert "has the plugin name rds_secret as well" in cause.summary
    assert [each.text for each in cause.commands] == [
        "pip uninstall --yes sqlalchemy-rds-iam-auth-plugin"
    ]


def test_too_late(ward: Ward) -> None:
    """A Secrets Manager that hangs is a finding, and is not said to have let the user in."""
    ward.rds.aws.secrets.fail("hang")
    ward.cleanup.callback(ward.rds.aws.secrets.recover)
    ward.timeout = 0.5
    [cause] = _examined(ward, _url(ward)).causes
    assert "accepts this user's token" not in cause.summary


@pytest.mark.parametrize("command", ["token", "policy", "grant", "bench"])
def test_other_commands(command: str, ward: Ward) -> None:
    """Commands about tokens say that there is none."""
    found = shown(command, _url(ward).render_as_string())
    assert found.code == 2
    assert "rds_secret" in found.err
    assert "this is about tokens" in found.err
    assert found.out == ""
