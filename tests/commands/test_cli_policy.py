"""`rds-iam policy`: the least that lets one database user in, with the resource id from AWS."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from cli_support import shown
from patience import SOON
from rds_api_support import RdsApi, served

from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam._tools.iam_policy import Resource, connect_policy
from sqlalchemy_rds_iam._tools.rds_api import KINDS
from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.aws.service import AwsError

EU = "eu-central-1.rds.amazonaws.com"
INSTANCE = f"mydb.abc123.{EU}"
WRITER = f"orders.cluster-abc123.{EU}"
READER = f"orders.cluster-ro-abc123.{EU}"
CUSTOM = f"reports.cluster-custom-abc123.{EU}"
MEMBER = f"orders-1.abc123.{EU}"
PROXY = f"front.proxy-abc123.{EU}"
PROXY_READER = f"front-ro.endpoint.proxy-abc123.{EU}"
SHARDS = f"shards.shardgrp-abc123.{EU}"
GLOBAL = "world.global-abc123.global.rds.amazonaws.com"


@pytest.fixture
def api(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[RdsApi]:
    """The RDS API, with one of everything."""
    with served(rds) as api:
        monkeypatch.setenv("AWS_ENDPOINT_URL_RDS", api.url)
        api.instance(INSTANCE)
        api.cluster(WRITER, CUSTOM)
        api.instance(MEMBER, DBClusterIdentifier="orders")
        api.proxy(PROXY, PROXY_READER)
        yield api
        rds.aws.sts.recover()


def _url(host: str, user: str = "app", drivername: str = "postgresql+psycopg") -> str:
    return f"{drivername}://{user}@{host}/app?plugin=rds_iam"


def _resource(*arguments: Any, code: int = 0) -> Any:
    found = shown("policy", *arguments)
    assert found.code == code, found.err
    document = json.loads(found.out)
    assert document["Version"] == "2012-10-17"
    [statement] = document["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "rds-db:connect")
    return statement["Resource"]


@pytest.mark.parametrize(
    ("host", "resource"),
    [
        (INSTANCE, "db-MYDB"),
        (WRITER, "cluster-ORDERS"),
        (READER, "cluster-ORDERS"),
        (CUSTOM, "cluster-ORDERS"),
        (MEMBER, "cluster-ORDERS"),
        (PROXY, "prx-FRONT"),
        (PROXY_READER, "prx-FRONT"),
    ],
)
def test_resource_id(api: RdsApi, host: str, resource: str) -> None:
    """Each kind of endpoint leads to the id that counts: of the instance, cluster or proxy."""
    arn = f"arn:aws:rds-db:eu-central-1:123456789012:dbuser:{resource}/app"
    for drivername in ("postgresql+psycopg", "mysql+pymysql", "mariadb+mariadbconnector"):
        assert _resource(_url(host, drivername=drivername)) == arn
    assert set(api.regions) == {"eu-central-1"}


def test_global_database(api: RdsApi) -> None:
    """A global writer may move to any of its clusters, and the policy allows all of them."""
    clusters = [("orders", "eu-central-1"), ("mirror", "us-west-2")]
    api.cluster("mirror.cluster-def456.us-west-2.rds.amazonaws.com")
    api.known["DescribeGlobalClusters", "world"] = {
        "Endpoint": GLOBAL,
        "GlobalClusterMembers": [
            {"DBClusterArn": f"arn:aws:rds:{region}:123456789012:cluster:{name}"}
            for name, region in clusters
        ],
    }
    assert _resource(_url(GLOBAL), "-o", "rds_iam_region=eu-central-1") == [
        f"arn:aws:rds-db:{region}:123456789012:dbuser:cluster-{name.upper()}/app"
        for name, region in clusters
    ]
    assert api.regions == ["eu-central-1", "eu-central-1", "us-west-2"]


@pytest.mark.skipif(
    not hasattr(
        botocore.session.get_session().create_client("rds", region_name="us-east-1"),
        "describe_db_shard_groups",
    ),
    reason="this botocore is older than Aurora Limitless",
)
def test_limitless(api: RdsApi) -> None:
    """The endpoint of a shard group leads to its cluster."""
    api.known["DescribeDBShardGroups", "shards"] = {
        "DBClusterIdentifier": "orders",
        "Endpoint": SHARDS,
    }
    assert _resource(_url(SHARDS)).endswith(":dbuser:cluster-ORDERS/app")


def test_switched_off(api: RdsApi) -> None:
    """A database without IAM authentication has a policy, and a note."""
    api.instance(INSTANCE, IAMDatabaseAuthenticationEnabled="false")
    found = shown("policy", _url(INSTANCE))
    assert found.code == 0
    assert found.err == (
        "rds-iam policy: IAM database authentication is switched off for "
        "arn:aws:rds:eu-central-1:123456789012:db:mydb\n"
    )


def test_of_the_same_name(api: RdsApi) -> None:
    """Another account's database of that name is not taken for the one of the URL."""
    found = shown("policy", _url(INSTANCE.replace("abc123", "xyz789")))
    assert found.code == 1
    assert "another endpoint, mydb.abc123" in found.err
    assert ":123456789012:dbuser:RESOURCE-ID/app" in found.out


@pytest.mark.parametrize("host", [INSTANCE, WRITER, READER, CUSTOM, PROXY, PROXY_READER, GLOBAL])
def test_denied(api: RdsApi, host: str) -> None:
    """Without the permission a placeholder is left, and a command of the AWS CLI that fills it."""
    denied = "User: arn:aws:iam::123456789012:user/app is not authorized to perform: rds:Describe"
    api.fail(AwsError(403, "AccessDenied", denied))
    options = ["-o", "rds_iam_region=eu-central-1"]
    found = shown("policy", _url(host), *options)
    assert found.code == 1
    arn = _resource(_url(host), *options, code=1)
    assert arn == "arn:aws:rds-db:eu-central-1:123456789012:dbuser:RESOURCE-ID/app"
    why, how, sum_of_it = found.err.splitlines()
    assert "is not authorized to perform: rds:Describe" in why
    assert how.startswith("rds-iam policy: to look up the resource id: aws rds describe-")
    assert sum_of_it == "rds-iam policy: the policy is not complete: fill in RESOURCE-ID"
    kind = KINDS[parse_host(host).kind]
    operation = botocore.session.get_session().get_service_model("rds").operation_model(kind.action)
    assert kind.parameter in operation.input_shape.members
    assert kind.answer in operation.output_shape.members


def test_no_answer(api: RdsApi, rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without RDS, STS or credentials the rest is known; every wait has its deadline."""
    api.fail("hang")
    rds.aws.sts.fail("hang")
    began = time.monotonic()
    arn = _resource(_url(INSTANCE), "--timeout", "0.3", code=1)
    assert time.monotonic() - began < SOON
    assert arn == "arn:aws:rds-db:eu-central-1:ACCOUNT-ID:dbuser:RESOURCE-ID/app"
    rds.aws.sts.recover()
    api.fail("garbage")
    found = shown("policy", _url(INSTANCE))
    assert ":123456789012:dbuser:RESOURCE-ID/" in found.out
    assert "Wi-Fi" not in found.err
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    found = shown("policy", _url(INSTANCE))
    assert found.code == 1
    assert "no AWS credentials found" in found.err
    assert "fill in ACCOUNT-ID and RESOURCE-ID" in found.err


def test_account_of_a_role(api: RdsApi, rds: RdsEmulator) -> None:
    """A role that cannot be assumed still says in which account the database has to be."""
    role = "arn:aws:iam::999999999999:role/orders"
    arn = _resource(_url(INSTANCE), "-o", f"rds_iam_role_arn={role}", code=1)
    assert arn == "arn:aws:rds-db:eu-central-1:999999999999:dbuser:RESOURCE-ID/app"
    good = rds.identities.role("orders")
    assert _resource(_url(INSTANCE), "-o", f"rds_iam_role_arn={good.arn}").endswith("/app")


@pytest.mark.parametrize(
    ("host", "partition"),
    [
        ("mydb.abc123.us-gov-west-1.rds.amazonaws.com", "aws-us-gov"),
        ("mydb.abc123.rds.cn-north-1.amazonaws.com.cn", "aws-cn"),
    ],
)
def test_partitions(api: RdsApi, rds: RdsEmulator, host: str, partition: str) -> None:
    """China and GovCloud have ARNs of their own, also where the account is unknown."""
    rds.aws.sts.fail(AwsError(403, "AccessDenied", "no"))
    arn = _resource(_url(host), code=1)
    assert arn.startswith(f"arn:{partition}:rds-db:{parse_host(host).region}:ACCOUNT-ID:dbuser:")
    named = _url("db.example.com"), "-o", f"rds_iam_region={parse_host(host).region}"
    assert _resource(*named, code=1).startswith(f"arn:{partition}:")


def test_no_endpoint_name(api: RdsApi) -> None:
    """A name that is no endpoint's is looked up nowhere, and it is said what to name instead."""
    found = shown("policy", _url("db.example.com"), "-o", "rds_iam_region=eu-central-1")
    assert found.code == 1
    assert "name the endpoint with rds_iam_host" in found.err
    assert not api.records
    assert _resource(_url("db.example.com"), "-o", f"rds_iam_host={INSTANCE}").endswith("MYDB/app")


@pytest.mark.parametrize(
    ("user", "literal"),
    [("app", "app"), ("App+ops@team", "App+ops@team"), ("a*b?c${d}", "a${*}b${?}c${$}{d}")],
)
def test_no_wildcards(user: str, literal: str) -> None:
    """Whatever a user is called, the policy is about this one: there is no wildcard in it."""
    document = connect_policy([Resource("aws", "eu-west-1", "123456789012", "db-X")], user)
    assert document["Statement"][0]["Resource"].endswith(f":dbuser:db-X/{literal}")
