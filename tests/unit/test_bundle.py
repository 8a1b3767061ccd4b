"""The region's part of the CA bundle: what is in it, and that nothing else is."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

import pytest
import trustme
from ca_support import BUNDLE, blocks, is_of_a_trial, named_ca, regions_named
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam._tls import ca_bundle
from sqlalchemy_rds_iam.testing.server.ca_bundle import REGIONS

BLOCKS = blocks(BUNDLE)
OWN = trustme.CA().cert_pem.bytes()

_elsewhere = st.sampled_from(
    [
        OWN,
        b"\n",
        b"# a comment\n",
        b"Amazon RDS us-east-1 Root CA RSA2048 G1\n=====\n",
        "# ein Käse\n".encode(),
        b"-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n",
        *(
            b"-----BEGIN CERTIFICATE-----\n" + body + b"\n-----END CERTIFICATE-----\n"
            for body in (b"!!!!", b"MIIB", b"MIIBA")
        ),
        b"-----BEGIN CERTIFICATE-----\n",
        b"-----END CERTIFICATE-----\n",
    ]
)
# Of two regions and none, so that much of what is drawn is left out, and as much stays.
_block = st.sampled_from(
    [block for block in BLOCKS if regions_named(block) <= {"eu-west-1", "us-east-1"}]
)
_untidy = st.one_of(
    _block,
    _block.map(lambda block: block.replace(b"\n", b"\r\n")),
    _block.map(lambda block: b"# " + block.replace(b"\n", b"\n# ") + b"\n"),
    _block.map(lambda block: b"quoted: " + block),
    _elsewhere,
)
_pem = st.lists(_block | st.just(OWN), max_size=8) | st.lists(_untidy, max_size=8)


def _trusted(pem: bytes, file: Path) -> set[bytes] | None:
    """What OpenSSL takes from a CA file, as libpq reads one; None if it refuses it."""
    file.write_bytes(pem)
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        ctx.load_verify_locations(cafile=str(file))
    except ssl.SSLError:
        return None
    return set(ctx.get_ca_certs(binary_form=True))


@given(_pem.map(b"".join), st.sampled_from(["eu-west-1", "us-east-1"]), st.floats(0, 1e10))
def test_narrowing_never_adds_trust(pem: bytes, region: str, now: float) -> None:
    """Whatever is in a file, what OpenSSL takes from its part it takes from the whole as well."""
    part = ca_bundle.narrow(pem, region, now)
    tidy = pem.replace(b"\r", b"")
    assert part == pem or all(block in tidy for block in blocks(part.replace(b"\r", b"")))
    with tempfile.TemporaryDirectory() as directory:
        whole = _trusted(pem, Path(directory, "whole.pem"))
        narrowed = _trusted(part, Path(directory, "part.pem"))
    if whole is not None:
        assert narrowed is not None
        assert narrowed <= whole


@pytest.mark.parametrize(
    "body", [b"MIIB", b"MIIBA", pytest.param(BLOCKS[0].split(b"\n")[1], id="first-line")]
)
def test_what_cannot_be_read_stays(body: bytes) -> None:
    """A certificate that is broken is left in place, for OpenSSL to report."""
    broken = b"-----BEGIN CERTIFICATE-----\n" + body + b"\n-----END CERTIFICATE-----\n"
    part = ca_bundle.narrow(BUNDLE, "us-east-1")
    assert ca_bundle.narrow(BUNDLE + broken, "us-east-1") == part + broken


@given(st.binary(max_size=300) | st.text(alphabet="-BEGINCRTFA \r\n", max_size=300).map(str.encode))
def test_narrowing_survives_anything(pem: bytes) -> None:
    """Bytes that are no bundle come back as they are."""
    assert ca_bundle.narrow(pem, "us-east-1", 2e9) is pem


@pytest.mark.parametrize("region", REGIONS)
def test_what_stays(region: str) -> None:
    """Certificates that name the region or none stay, byte by byte and in order; no other does.

    Those of Amazon's own trials name a region that they do not serve, and do not stay.
    """
    kept = blocks(ca_bundle.narrow(BUNDLE + OWN, region))
    assert kept == [
        block
        for block in [*BLOCKS, OWN]
        if not is_of_a_trial(block) and (not regions_named(block) or region in regions_named(block))
    ]
    names = [x509.load_pem_x509_certificate(block).subject.rfc4514_string() for block in kept]
    for kind in ("RSA2048", "RSA4096", "ECC384"):
        assert any(f"CN=Amazon RDS {region} Root CA {kind} G1" in name for name in names)
    assert any("CN=Amazon RDS Root 2019 CA" in name for name in names)
    assert len(kept) < 9
    assert kept[-1] == OWN


@pytest.mark.parametrize("region", ["us-gov-west-1", "us-east-15", "us-east", "east-1"])
def test_an_unknown_region_keeps_all(region: str) -> None:
    """Where nothing names the region, the bundle stays whole."""
    assert ca_bundle.narrow(BUNDLE, region) is BUNDLE


def test_nothing_to_leave_out() -> None:
    """A CA file of the user's own, and the bundle of the region, are passed on as they are."""
    assert ca_bundle.narrow(OWN, "us-east-1") is OWN
    part = ca_bundle.narrow(BUNDLE, "us-east-1")
    assert ca_bundle.narrow(part, "us-east-1") is part


def test_whole_names_only() -> None:
    """A longer region's name is another region; a name cut short by the encoding is none."""
    near = named_ca("Amazon RDS us-west-15 Root CA RSA2048 G1")
    here = named_ca("Amazon RDS us-west-1 Root CA RSA2048 G1")
    # Followed by the SET of the next name, whose first byte is the digit 1.
    short = named_ca("Amazon RDS us-west-1")
    assert ca_bundle.narrow(near + here + short, "us-west-1") == here + short
    assert ca_bundle.narrow(near + here + short, "us-west-15") == near + short


def test_beside_other_things() -> None:
    """A file with more than certificates in it is not taken for a bundle, and is left alone."""
    for other in (b"-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n", b"# " + BLOCKS[0]):
        assert ca_bundle.narrow(BUNDLE + other, "us-east-1") == BUNDLE + other
