"""What is in a CA file: which certificate authorities of Amazon RDS, for which regions, how long.

Source: "Using SSL/TLS to encrypt a connection to a DB instance" in the RDS user guide.
"""

from __future__ import annotations

import ssl
from typing import NamedTuple

from sqlalchemy_rds_iam._tls.authorities import Authority, authority

_BEGIN = "-----BEGIN"
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"


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
    found = [authority(each) for each in context.get_ca_certs()]
    return Inventory(tuple(sorted(found)), max(pem.count(_BEGIN) - len(found), 0))
