"""Read a certificate that was not verified: whom it names, who issued it, how long it is good for.

Python's ``ssl`` shows the content of verified certificates only, and it is the others that need
explaining. Source: RFC 5280 for the structure, ITU-T X.690 for its encoding (DER). Pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

_SEQUENCE, _OID, _OCTETS, _BOOLEAN = 0x30, 0x06, 0x04, 0x01
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87
_BMP_STRING = 0x1E
_SUBJECT_ALT_NAME = bytes.fromhex("551d11")
_ATTRIBUTES = {
    bytes.fromhex("550403"): "CN",
    bytes.fromhex("55040a"): "O",
    bytes.fromhex("55040b"): "OU",
}

_Item = tuple[int, bytes]


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
    """
    fields = list(_items(_sequence(_sequence(der))))
    if fields and fields[0][0] == _VERSION:
        del fields[0]
    try:
        _, _, issuer, validity, subject, *rest = fields  # after serial number and algorithm
        begins, ends = (_time(item) for item in _items(validity[1]))
    except ValueError as error:
        raise ValueError(f"no certificate: {error}") from None
    extensions = next((body for tag, body in rest if tag == _EXTENSIONS), b"")
    return Certificate(
        _name(subject[1]), _name(issuer[1]), tuple(_alt_names(extensions)), begins, ends
    )


def _items(data: bytes) -> Iterator[_Item]:
    """The tag and the content of each value in a row."""
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise ValueError("it ends in the middle of a value")
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        if at + length > len(data):
            raise ValueError("a value is longer than what holds it")
        yield tag, data[at : at + length]
        at += length


def _sequence(data: bytes) -> bytes:
    """The content of the sequence that `data` begins with."""
    for tag, content in _items(data):
        if tag == _SEQUENCE:
            return content
        break
    raise ValueError("it does not begin with a sequence")


def _name(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for _, part in _items(data):
        for _, pair in _items(part):
            items = list(_items(pair))
            if len(items) == 2 and (label := _ATTRIBUTES.get(items[0][1])):  # noqa: PLR2004  type and value
                tag, text = items[1]
                found[label] = text.decode(
                    "utf-16-be" if tag == _BMP_STRING else "utf-8", "replace"
                )
    return found


def _time(item: _Item) -> float:
    tag, text = item
    written = text.decode("ascii", "replace")
    if tag == _UTC_TIME:
        # RFC 5280: two digits of a year from 50 on are of the last century.
        written = ("19" if written[:2] >= "50" else "20") + written
    elif tag != _GENERALIZED_TIME:
        raise ValueError("its validity holds no time")
    return datetime.strptime(written, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _alt_names(data: bytes) -> Iterator[str]:
    for _, extensions in _items(data):
        for _, extension in _items(extensions):
            items = [item for item in _items(extension) if item[0] != _BOOLEAN]
            if [tag for tag, _ in items] == [_OID, _OCTETS] and items[0][1] == _SUBJECT_ALT_NAME:
                for tag, name in _items(_sequence(items[1][1])):
                    if tag == _DNS_NAME:
                        yield name.decode("ascii", "replace")
                    elif tag == _IP_ADDRESS and len(name) in {4, 16}:
                        yield str(ipaddress.ip_address(name))
