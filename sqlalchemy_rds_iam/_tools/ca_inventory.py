"""What is in a CA file: which certificate authorities of Amazon RDS, for which regions, how long.

Source: "Using SSL/TLS to encrypt a connection to a DB instance" in the RDS user guide.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy_rds_iam._endpoints.regions import regions_of_ca

_BEGIN = "-----BEGIN"
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"
_AMAZON = "Amazon RDS"
EMULATOR = "sqlalchemy-rds-iam emulator"
"""How the name of an emulator's authority begins, whose unit is that of Amazon's."""

_TRIAL = rf"{_AMAZON} (?:Beta|Preview) "


class Authority(NamedTuple):
    """A certificate authority.

    Attributes:
        name: its common name, else all of its names.
        ends: epoch seconds at which its certificate expires.
        is_amazon: whether it says that it belongs to Amazon RDS.
        region: the region that it names, if any. Those of RDS's own trials name none.
    """

    name: str
    ends: float
    is_amazon: bool
    region: str | None


class Inventory(NamedTuple):
    """What is in a CA file.

    Attributes:
        authorities: in the order of their names.
        others: how many things are in it beside them, such as certificates of servers.
    """

    authorities: tuple[Authority, ...]
    others: int

    def regions(self, now: float) -> list[str]:
        """The regions with an authority that is good at `now`."""
        return sorted({each.region for each in self.authorities if each.region and now < each.ends})

    def expired(self, now: float) -> list[Authority]:
        """The authorities that are no longer good at `now`."""
        return [each for each in self.authorities if each.ends <= now]


def inventory(pem: str) -> Inventory:
    """Read a CA file.

    Args:
        pem: its content.

    Raises:
        ValueError: it cannot be parsed.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if _CERTIFICATE in pem:
            context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or "it is not ASCII"
        raise ValueError(f"it cannot be parsed ({reason})") from None
    found = [_authority(each) for each in context.get_ca_certs()]
    return Inventory(tuple(sorted(found)), max(pem.count(_BEGIN) - len(found), 0))


def _authority(certificate: Mapping[str, object]) -> Authority:
    names = _names(certificate["subject"])
    name = names.get("commonName") or ", ".join(names.values())
    regions = regions_of_ca(f"{name} ")
    return Authority(
        name,
        ssl.cert_time_to_seconds(str(certificate["notAfter"])),
        name.startswith(_AMAZON)
        or (names.get("organizationalUnitName") == _AMAZON and not name.startswith(EMULATOR)),
        regions[0] if regions and not re.match(_TRIAL, name) else None,
    )


def _names(subject: object) -> dict[str, str]:
    assert isinstance(subject, tuple)
    return {key: str(value) for part in subject for key, value in part}
