"""Read a certificate that was not verified: whom it names, who issued it, how long it is good for.

Python's ``ssl`` shows the content of verified certificates only, and it is the others that need
explaining. The extra ``doctor`` has the package that reads them, cryptography. It is imported when
there is one to read, so no other command has to wait for it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy_rds_iam._requirements import install

MISSING = f"it was not read, which takes another package: {install('cryptography')}"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says.

    Attributes:
        subject: its subject's names by "CN", "O" and "OU", as far as there are any.
        issuer: the same of who issued it.
        names: the DNS names and IP addresses it is good for.
        begins: epoch seconds.
        ends: epoch seconds.
    """

    subject: dict[str, str]
    issuer: dict[str, str]
    names: tuple[str, ...]
    begins: float
    ends: float

    @property
    def issued_by(self) -> str:
        """The issuer in a few words."""
        return ", ".join(self.issuer.values()) or "an unknown issuer"

    @property
    def service(self) -> str | None:
        """Which Amazon service's certificates look like this: ``rds``, ``proxy`` or None.

        Those of RDS come from CAs whose names begin with "Amazon RDS"; those of RDS Proxy from AWS
        Certificate Manager, which signs as "Amazon" ("Using TLS/SSL with RDS Proxy").
        """
        names = self.issuer.values()
        if any(name.startswith("Amazon RDS") for name in names):
            return "rds"
        return "proxy" if self.issuer.get("O") == "Amazon" else None


def read(der: bytes) -> Certificate:
    """Read a certificate.

    Args:
        der: the certificate in DER.

    Raises:
        ValueError: it is none.
        ImportError: the package cryptography is not installed.
    """
    from cryptography import x509

    try:
        found = x509.load_der_x509_certificate(der)
        return Certificate(
            _name(found.subject),
            _name(found.issuer),
            tuple(_names(found)),
            found.not_valid_before_utc.timestamp(),
            found.not_valid_after_utc.timestamp(),
        )
    except Exception as error:
        raise ValueError(f"no certificate: {error}") from error


def _name(name: Any) -> dict[str, str]:
    from cryptography.x509 import NameOID

    kinds = {NameOID.COMMON_NAME: "CN", NameOID.ORGANIZATION_NAME: "O"}
    kinds[NameOID.ORGANIZATIONAL_UNIT_NAME] = "OU"
    return {kinds[part.oid]: str(part.value) for part in name if part.oid in kinds}


def _names(certificate: Any) -> Iterator[str]:
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return
    for name in extension.value:
        if isinstance(name, x509.DNSName | x509.IPAddress):
            yield str(name.value)
