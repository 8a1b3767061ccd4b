"""What a host name says: the published grammar, its near-misses, and what gets signed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._endpoints.hostname import parse_database_host, parse_host, signed_endpoint

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
