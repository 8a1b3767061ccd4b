"""Certificates as the tests of CA bundles look at them, independently of what is tested."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from sqlalchemy_rds_iam._databases.postgresql import POSTGRESQL
from sqlalchemy_rds_iam._endpoints.hostname import HostName
from sqlalchemy_rds_iam._tls import trust
from sqlalchemy_rds_iam.testing.server.ca_bundle import ca_bundle

BUNDLE = ca_bundle()

_END = b"-----END CERTIFICATE-----\n"


def blocks(pem: bytes) -> list[bytes]:
    """The certificates of a tidy PEM file, each as it stands there."""
    return [block + _END for block in pem.split(_END)[:-1]]


def regions_named(block: bytes) -> set[str]:
    """The regions in the common names of subject and issuer, read by another library."""
    certificate = x509.load_pem_x509_certificate(block)
    return {
        word
        for name in (certificate.subject, certificate.issuer)
        for attribute in name.get_attributes_for_oid(NameOID.COMMON_NAME)
        for word in str(attribute.value).split()
        if re.fullmatch(r"[a-z]+-[a-z-]+-[0-9]", word)
    }


def without(region: str) -> bytes:
    """The bundle from the time before a region was opened."""
    return b"".join(block for block in blocks(BUNDLE) if region not in regions_named(block))


def own_ca(database: Any) -> Path:
    """The file that we made for the one target of an engine."""
    return Path(database.inside.plan.target.watched.file)


def is_of_a_trial(block: bytes) -> bool:
    """Whether the common name says Beta or Preview, read by another library."""
    subject = x509.load_pem_x509_certificate(block).subject
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return any(re.match("Amazon RDS (Beta|Preview) ", str(name.value)) for name in names)


def ends(block: bytes) -> float:
    """The epoch seconds at which a certificate expires, read by another library."""
    return x509.load_pem_x509_certificate(block).not_valid_after_utc.timestamp()


@functools.cache
def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def named_ca(name: str, until: datetime = datetime(2061, 1, 1, tzinfo=UTC)) -> bytes:
    """A small CA of this common name, with another part of the name after it."""
    key = _key()
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            x509.NameAttribute(NameOID.LOCALITY_NAME, "Seattle"),
        ]
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(1951, 1, 1, tzinfo=UTC))
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


def find_ca(
    explicit: Mapping[str, str | None], host: HostName, environ: Mapping[str, str] = os.environ
) -> str:
    """The file that a server of PostgreSQL is checked with; see `trust.locate_ca`."""
    return trust.locate_ca(explicit, host, environ, places=POSTGRESQL.ca_places).path
