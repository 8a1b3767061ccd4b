"""Every command of `rds-iam` in the environment of an emulator."""

from __future__ import annotations

import json

import pytest
from cli_support import shown

from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.aws.identities import Identities
from sqlalchemy_rds_iam.testing.aws.rds_api import RdsApi


@pytest.fixture(autouse=True)
def _inside(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDS_IAM_URL", rds.url().render_as_string())


def test_policy() -> None:
    """The policy is complete, as the emulator's RDS knows the resource id of its endpoint."""
    found = shown("policy")
    assert (found.code, found.err) == (0, "")
    [statement] = json.loads(found.out)["Statement"]
    assert statement["Resource"] == ("arn:aws:rds-db:us-east-1:123456789012:dbuser:db-APPDB/app")


def test_ca(rds: RdsEmulator) -> None:
    """The emulator's file is good for its endpoint, and is not said to be Amazon's."""
    found = shown("ca")
    assert (found.code, found.err) == (0, "")
    assert str(rds.ca_file) in found.out
    assert "1, 0 of them of Amazon RDS" in found.out
    assert "\nemulator      sqlalchemy-rds-iam emulator, Amazon RDS, until " in found.out


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("a.abc.eu-west-1.rds.amazonaws.com", {"DescribeDBInstances"}),
        ("a.cluster-abc.eu-west-1.rds.amazonaws.com", {"DescribeDBClusters"}),
        ("a.cluster-ro-abc.eu-west-1.rds.amazonaws.com", {"DescribeDBClusters"}),
        (
            "a.cluster-custom-abc.eu-west-1.rds.amazonaws.com",
            {"DescribeDBClusters", "DescribeDBClusterEndpoints"},
        ),
        ("a.proxy-abc.eu-west-1.rds.amazonaws.com", {"DescribeDBProxies"}),
        (
            "a.endpoint.proxy-abc.eu-west-1.rds.amazonaws.com",
            {"DescribeDBProxies", "DescribeDBProxyEndpoints"},
        ),
    ],
)
def test_kinds(host: str, known: set[str]) -> None:
    """The emulator's RDS knows what the name of its endpoint says that there is."""
    api = RdsApi(Identities())
    api.add(host, "eu-west-1")
    assert {action for action, _ in api.known} == known
