"""A CA bundle that is built like Amazon's, for tests and benchmarks: same names, kinds and number.

Amazon's own is no file of ours to hand out. Names, key types, validity and hierarchy follow the
global bundle of 2024, as it is described in "Using SSL/TLS to encrypt a connection to a DB
instance" in the RDS user guide: 121 certificates, 29 regions.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

REGIONS = (
    *("af-south-1", "ap-east-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3"),
    *("ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3"),
    *("ap-southeast-4", "ca-central-1", "ca-west-1", "eu-central-1", "eu-central-2"),
    *("eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3"),
    *("il-central-1", "me-central-1", "me-south-1", "sa-east-1", "us-east-1", "us-east-2"),
    *("us-west-1", "us-west-2"),
)
_OPTED_IN = ("af-south-1", "eu-south-1", "me-south-1")
_OF_2019 = (
    *("ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1"),
    *("ap-southeast-2", "ca-central-1", "eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2"),
    *("eu-west-3", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2"),
)

_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class _Authority(NamedTuple):
    name: str
    issuer: str
    kind: str
    ends: datetime


def ca_bundle() -> bytes:
    """Make the bundle: PEM, every certificate a real one. Takes a second or two.

    All of a kind share one key, because making a hundred would take minutes; what it costs to
    read the file is the same.
    """
    return b"".join(_certificate(authority) for authority in _authorities())


def _authorities() -> Iterator[_Authority]:
    places = (*REGIONS, "Beta us-east-1", "Preview us-east-2")
    for kind, year in (("RSA2048", 2061), ("RSA4096", 2121), ("ECC384", 2121)):
        for place in places:
            name = f"{place} Root CA {kind} G1"
            yield _Authority(name, name, kind, datetime(year, 5, 25, tzinfo=UTC))
    over = datetime(2024, 8, 22, tzinfo=UTC)
    for prefix in ("", "Beta ", "Preview "):
        name = f"{prefix}Root 2019 CA"
        yield _Authority(name, name, "RSA2048", over)
    for region in _OF_2019:
        yield _Authority(f"{region} 2019 CA", "Root 2019 CA", "RSA2048", over)
    for place in ("Beta us-east-1", "Preview us-east-2"):
        yield _Authority(f"{place} 2019 CA", f"{place.split()[0]} Root 2019 CA", "RSA2048", over)
    for region in _OPTED_IN:
        root = f"{region} Root CA"
        yield _Authority(root, root, "RSA2048", over)
        yield _Authority(f"{region} CA", root, "RSA2048", over)


@functools.cache
def _key(kind: str) -> _Key:
    if kind == "ECC384":
        return ec.generate_private_key(ec.SECP384R1())
    return rsa.generate_private_key(65537, int(kind.removeprefix("RSA")))


def _certificate(authority: _Authority) -> bytes:
    key = _key(authority.kind)
    public = key.public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(authority.name))
        .issuer_name(_name(authority.issuer))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2019, 5, 10, tzinfo=UTC))
        .not_valid_after(authority.ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256() if authority.kind == "RSA2048" else hashes.SHA384())
    )
    return certificate.public_bytes(Encoding.PEM)


def _name(common: str) -> x509.Name:
    # In this order, the common name in the middle, as Amazon has it.
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Amazon Web Services, Inc."),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Amazon RDS"),
            x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "WA"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Amazon RDS {common}"),
            x509.NameAttribute(NameOID.LOCALITY_NAME, "Seattle"),
        ]
    )
