"""Names of regions, and what is said of a text that is none."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam._endpoints.regions import as_region, regions_of_ca

PARTITIONS: list[dict[str, Any]] = (
    Session().get_component("data_loader").load_data("endpoints")["partitions"]
)
REGIONS = [
    (partition["partition"], region, partition["dnsSuffix"])
    for partition in PARTITIONS
    for region in partition["regions"]
]
names = st.sampled_from([region for _, region, _ in REGIONS])
# China's and GovCloud's names are seen in both orders.
ORDERS = {
    "aws": ["{region}.rds"],
    "aws-cn": ["{region}.rds", "rds.{region}"],
    "aws-us-gov": ["{region}.rds", "rds.{region}"],
    "aws-eusc": ["{region}.rds"],
}


@pytest.mark.parametrize(("partition", "region", "suffix"), REGIONS)
def test_every_region(partition: str, region: str, suffix: str) -> None:
    """Each region that botocore knows is a region, and names of databases there are read."""
    assert as_region(region) == region
    for order in ORDERS.get(partition, ["rds.{region}"]):
        home = f"{order.format(region=region)}.{suffix}"
        found = parse_host(f"db.abc123.{home}")
        assert (found.kind, found.region, found.partition) == ("instance", region, partition)
        assert parse_host(f"db.cluster-ro-abc123.{home}").kind == "cluster-ro"
        assert parse_host(f"db.abc123.x{home}").region is None
    other = "aws" if partition != "aws" else "cn"
    assert parse_host(f"db.abc123.{region}.rds.{other}.example.com").region is None


@given(names, st.text(" \t\n"), st.text(" \t\n"))
def test_white_space_around_it(name: str, before: str, after: str) -> None:
    """White space around a name, as files and variables often have it, is no part of it."""
    assert as_region(f"{before}{name}{after}") == name


def _said(value: Any) -> str:
    with pytest.raises(ValueError, match=r"^a region such as 'eu-central-1'") as caught:
        as_region(value)
    return str(caught.value).removeprefix("a region such as 'eu-central-1'")


@given(names, st.sampled_from(["a", "f", "-bos-1a", "-wl1-bos-wlz-1a", "-lax-1b"]))
def test_zones(name: str, zone: str) -> None:
    """A zone is told apart from a region, and which one it is in."""
    assert _said(f"{name}{zone}") == f"; this is a zone of {name!r}"
    assert _said(f"'{name}{zone}'".upper()) == f"; this is a zone of {name!r}"


@given(names, st.sampled_from(["''", '""', "``", "\u2018\u2019", "\u201c\u201d"]))
def test_quotation_marks(name: str, marks: str) -> None:
    """Quotation marks are to be left out; so are those around another spelling."""
    first, last = marks
    assert _said(f"{first}{name}{last}") == f"; write {name} without quotes"
    assert _said(f"{first} {name} {last}") == f"; write {name} without quotes"
    spelled = name.upper().replace("-", "_")
    assert _said(f"{first}{spelled}{last}") == f"; write {name} without quotes"


@given(names)
def test_another_spelling(name: str) -> None:
    """Capitals and underscores are put right."""
    for spelled in (name.upper(), name.replace("-", "_"), name.title()):
        assert _said(spelled) == f"; write {name}"


@pytest.mark.parametrize("text", ["Frankfurt", "EU (Ireland)", "eu-central", "1", "'Ohio'"])
def test_no_code(text: str) -> None:
    """Whatever else there is, it is the code that is wanted."""
    assert _said(text) == ", by its code and not by its name"


def test_nothing() -> None:
    """Of nothing there is nothing to say."""
    assert _said("") == _said("  ") == ""


def test_regions_of_authorities() -> None:
    """The names of Amazon's authorities have a region each; others have none."""
    found = regions_of_ca(
        "Amazon RDS eu-west-1 Root CA RSA2048 G1 Amazon RDS Beta us-east-1 2019 CA "
        "Amazon RDS us-gov-west-1 Subordinate CA Amazon Root CA 1 "
    )
    assert found == ["eu-west-1", "us-east-1", "us-gov-west-1"]
    # In DER what follows the name may read as a digit.
    assert regions_of_ca("Amazon RDS eu-west-11") == []
