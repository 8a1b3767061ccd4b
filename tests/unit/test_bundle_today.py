"""What a narrowed bundle leaves out as it is today: what has expired, and Amazon's own trials."""

from __future__ import annotations

import base64
import math
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from ca_support import BUNDLE, blocks, ends, is_of_a_trial, named_ca, regions_named
from hypothesis import example, given
from hypothesis import strategies as st

from sqlalchemy_rds_iam._tls import authorities, ca_bundle
from sqlalchemy_rds_iam.testing.server.ca_bundle import REGIONS

TODAY = datetime(2026, 11, 29, tzinfo=UTC).timestamp()
BLOCKS = blocks(BUNDLE)
OWN = trustme.CA().cert_pem.bytes()
G1 = ("RSA2048", "RSA4096", "ECC384")
SOON, LATER = datetime(2027, 1, 1, tzinfo=UTC), datetime(2061, 1, 1, tzinfo=UTC)


def _der(block: bytes) -> bytes:
    return base64.b64decode(b"".join(block.split(b"\n")[1:-2]))


@pytest.mark.parametrize("region", REGIONS)
def test_of_amazons_bundle_three_stay(region: str) -> None:
    """Beside the user's own, those that are the region's and good: one of each kind of key."""
    *kept, own = blocks(ca_bundle.narrow(BUNDLE + OWN, region, TODAY))
    assert own == OWN
    assert [authorities.read([_der(block)])[_der(block)].name for block in kept] == [
        f"Amazon RDS {region} Root CA {kind} G1" for kind in G1
    ]


@pytest.mark.parametrize("now", [0.0, -1e9, 4.8e9, 1e12, math.inf])
def test_a_wrong_clock_leaves_the_region(now: float) -> None:
    """Before all of them began nothing has expired; after the last has ended, all of them stay."""
    kept = blocks(ca_bundle.narrow(BUNDLE, "us-east-1", now))
    assert kept == blocks(ca_bundle.narrow(BUNDLE, "us-east-1"))


@given(
    st.lists(st.sampled_from(BLOCKS) | st.just(OWN), max_size=9),
    st.sampled_from(["us-east-1", "us-east-2"]),
    st.sampled_from([0.0, TODAY, 2.9e9, 4e9, 5e9]),
)
def test_what_is_left_out(drawn: list[bytes], region: str, now: float) -> None:
    """What stays can verify, or is not Amazon's to judge; what names the region stays if any does.

    Only while something that is good stays is anything else left out.
    """
    kept = blocks(ca_bundle.narrow(b"".join(drawn), region, now))
    concerning = [each for each in drawn if regions_named(each) <= {region} or each == OWN]
    assert kept.count(OWN) == drawn.count(OWN)
    theirs = [each for each in drawn if region in regions_named(each)]
    assert any(each in kept for each in theirs) == bool(theirs)
    good = [each for each in theirs if not is_of_a_trial(each) and now < ends(each)]
    if good:
        assert [each for each in kept if each != OWN] == [
            each
            for each in concerning
            if each != OWN and not is_of_a_trial(each) and now < ends(each)
        ]


def test_only_a_trials() -> None:
    """A file that only has a trial's authority for the region is that for a purpose."""
    trial, other = (
        named_ca("Amazon RDS Beta us-east-1 Root CA"),
        named_ca("Amazon RDS eu-west-1 CA"),
    )
    assert ca_bundle.narrow(trial + other, "us-east-1", TODAY) == trial


def test_what_is_not_amazons_is_not_judged() -> None:
    """An authority of the user's own stays, expired or not, and whatever else its name says."""
    gone = datetime(2020, 1, 1, tzinfo=UTC)
    mine = named_ca("Beta of my own", gone) + named_ca("not Amazon RDS us-east-1 at all", gone)
    theirs = named_ca("Amazon RDS us-east-1 CA") + named_ca("Amazon RDS eu-west-1 CA")
    part = ca_bundle.narrow(mine + theirs, "us-east-1", TODAY)
    assert part == mine + blocks(theirs)[0]


# From 1951 to 9999: of each end, and of where the form of the time changes, a second.
@example(-599529600)
@example(2524607999)
@example(2524608000)
@example(253402300799)
@given(st.integers(-599529600, 253402300799))
def test_when_it_expires(until: int) -> None:
    """The end is the one that another library reads, in both of the forms that RFC 5280 has."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    block = named_ca("Amazon RDS us-east-1 CA", epoch + timedelta(seconds=until))
    other = named_ca("Amazon RDS us-east-1 Root CA", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    [found] = authorities.read([_der(block)]).values()
    assert found.ends == ends(block) == until
    assert ca_bundle.narrow(block + other, "us-east-1", until - 1) == block + other
    if until < ends(other):
        assert ca_bundle.narrow(block + other, "us-east-1", until) == other


@given(st.data())
def test_what_cannot_be_read(data: st.DataObject) -> None:
    """A certificate with bytes changed, or cut off, is read or is none: never an error."""
    der = bytearray(_der(data.draw(st.sampled_from(BLOCKS[:3]))))
    for _ in range(data.draw(st.integers(1, 3))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    broken = bytes(der[: data.draw(st.integers(0, len(der)))]) + data.draw(st.binary(max_size=3))
    good = _der(named_ca("Amazon RDS us-east-1 CA"))
    assert authorities.read([broken, good])[good].name == "Amazon RDS us-east-1 CA"


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_what_is_no_certificate(ders: list[bytes]) -> None:
    """Bytes that are none are left out."""
    assert authorities.read(ders) == {}


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has other rules for files")
def test_one_that_expires_while_a_process_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is made anew when one of its authorities ends, and when the clock is put back."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    soon, later = (named_ca("Amazon RDS us-east-1 CA", until) for until in (SOON, LATER))
    file = tmp_path / "bundle.pem"
    file.write_bytes(soon + later + named_ca("Amazon RDS eu-west-1 CA"))
    now = [TODAY]

    def held() -> ca_bundle.Narrowed:
        made = ca_bundle.narrowed(str(file), "us-east-1", lambda: now[0])
        assert made is not None
        assert made.is_current()
        return made

    first = held()
    assert Path(first.file).read_bytes() == soon + later
    now[0] = SOON.timestamp()
    assert not first.is_current()
    second = held()
    assert Path(second.file).read_bytes() == later
    now[0] = TODAY
    assert not second.is_current()
    assert held().file == first.file
    now[0] = LATER.timestamp() + 1
    assert Path(held().file).read_bytes() == soon + later
