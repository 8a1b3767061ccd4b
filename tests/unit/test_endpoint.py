"""What a host name says: the published grammar, its near-misses, and what gets signed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._endpoints.hostname import (
    Endpoint,
    parse_database_host,
    parse_host,
    signed_endpoint,
)

VECTORS = [
    row
    for row in json.loads(
        Path(__file__).parents[1].joinpath("vectors").joinpath("endpoints.json").read_text()
    )
    if row["level"] in {"must", "should"}
]


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["host"] or "empty")
def test_vectors(row: dict[str, Any]) -> None:
    """Every published name and near-miss is read as the official clients' tests say."""
    host = parse_host(row["host"])
    assert (row["kind"], row["region"], row["partition"]) == (
        host.kind,
        host.region,
        host.partition,
    )


@given(
    name=st.sampled_from([row["host"].rstrip(".") for row in VECTORS if row["region"]]),
    upper=st.lists(st.booleans(), min_size=100, max_size=100),
    dot=st.sampled_from(["", "."]),
)
def test_case_and_root_dot_do_not_matter(name: str, upper: list[bool], dot: str) -> None:
    """Any spelling of the same DNS name is signed in the same one."""
    letters = zip(name, upper, strict=False)
    spelling = "".join(c.upper() if up else c.lower() for c, up in letters) + dot
    assert parse_host(spelling) == parse_host(name)
    assert parse_host(spelling).host == name.lower()


@given(
    prefix=st.text(min_size=1).filter(lambda text: not text.lower().endswith(".")),
    suffix=st.text(min_size=1).filter(lambda text: text != "."),
)
def test_nothing_around_a_name_is_ignored(prefix: str, suffix: str) -> None:
    """A valid name with anything appended, or a foreign character before it, has no region."""
    name = "db.abc123.us-east-1.rds.amazonaws.com"
    assert parse_host(name + suffix).region is None
    if not all(c.isascii() and (c.isalnum() or c == "-") for c in prefix):
        assert parse_host(prefix + name).region is None


@given(st.text())
def test_total(host: str) -> None:
    """No text makes the parser fail."""
    parse_host(host)


def test_look_alike_letters() -> None:
    """A letter that lower-cases to an ASCII one (the Kelvin sign) is still a foreign letter."""
    assert parse_host("db.abc123.us-east-1.rds.amazonaws.com".replace("b", "\u212a")).region is None


def _sign(host: str, region: str | None = None, ambient: str | None = None) -> Any:
    return signed_endpoint(
        parse_database_host(host), 5432, "app", region=region, ambient_region=lambda: ambient
    )


def test_region_comes_from_the_host_first() -> None:
    """The region is the host's own, then the one asked for, then the session's."""
    assert _sign("db.abc.eu-west-1.rds.amazonaws.com", ambient="us-east-1").region == "eu-west-1"
    assert _sign("db.example.com", region="eu-west-2", ambient="us-east-1").region == "eu-west-2"
    assert _sign("db.example.com", ambient="us-east-1").region == "us-east-1"


@pytest.mark.parametrize(
    ("host", "region", "says"),
    [
        ("db.example.com", None, "rds_iam_host"),
        ("10.0.0.1", None, "rds_iam_host"),
        ("x.global-abc.global.rds.amazonaws.com", None, "primary cluster"),
        ("db.abc.eu-west-1.rds.amazonaws.com", "us-east-1", "contradicts"),
        ("db.abc.us-east-1.rds.amazonaws.com", "eu-west-1", "contradicts"),
        ("/var/run/postgresql", "us-east-1", "Unix socket"),
        ("a,b", "us-east-1", "one host only"),
        ("abc.dsql.us-east-1.on.aws", "us-east-1", "DSQL"),
        ("rds.us-east-1.amazonaws.com", "us-east-1", "AWS API"),
    ],
)
def test_refused(host: str, region: str | None, says: str) -> None:
    """What cannot be signed for is refused, with the value and what to do."""
    with pytest.raises(ConfigError, match=says):
        _sign(host, region)


def test_what_an_endpoint_is_called() -> None:
    """In messages it is user, host and port, and the region if it is signed for one."""
    endpoint = Endpoint("db.example.com", 5433, "app", "us-east-1")
    assert str(endpoint) == "app@db.example.com:5433 (us-east-1)"
    assert str(endpoint._replace(region="")) == "app@db.example.com:5433"


@pytest.mark.parametrize("region", ["us-east-1", "us-gov-west-1"])
def test_the_server_of_ca_bundles(region: str) -> None:
    """The host that serves Amazon's CA bundles is no instance; what has nearly its name is."""
    assert parse_host(f"truststore.pki.{region}.rds.amazonaws.com").kind == "other"
    for name in ("truststore.pkj", "truststore.pki0", "a.pki", "z.pki"):
        assert parse_host(f"{name}.{region}.rds.amazonaws.com").kind == "instance"


KINDS = {
    "db.abc": "instance",
    "db.cluster-abc": "cluster",
    "db.cluster-ro-abc": "cluster-ro",
    "db.cluster-custom-abc": "cluster-custom",
    "db.proxy-abc": "proxy",
    "db.endpoint.proxy-abc": "proxy-endpoint",
    "db.shardgrp-abc": "limitless",
    "db.limitless-abc": "limitless",
}


@pytest.mark.parametrize("prefix", KINDS)
def test_kinds(prefix: str) -> None:
    """The label before the region says what it is; proxies are those with public certificates."""
    found = parse_host(f"{prefix}.eu-west-1.rds.amazonaws.com")
    assert found.kind == KINDS[prefix]
    assert found.is_proxy == prefix.endswith(".proxy-abc") == ("proxy" in found.kind)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "[2001:db8::1]"])
def test_ip_addresses(host: str) -> None:
    """Addresses are no names, with brackets or without."""
    assert parse_host(host).kind == "ip"


def test_a_region_that_is_given_twice() -> None:
    """Saying what the host says already is no contradiction, and what is signed is all there."""
    endpoint = _sign("DB.abc.eu-west-1.rds.amazonaws.com.", region="eu-west-1")
    assert endpoint == ("db.abc.eu-west-1.rds.amazonaws.com", 5432, "app", "eu-west-1")
