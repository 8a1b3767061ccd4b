"""What certificates of authorities say of themselves: whose they are, which region, until when.

Read by OpenSSL, through Python's `ssl`. Source for the names: "Using SSL/TLS to encrypt a
connection to a DB instance" in the RDS user guide, and Amazon's global bundle of 2024.
"""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sqlalchemy_rds_iam._endpoints.regions import regions_of_ca

AMAZON = "Amazon RDS"
EMULATOR = "sqlalchemy-rds-iam emulator"
"""How the name of an emulator's authority begins, whose unit is that of Amazon's."""

_TRIAL = rf"{AMAZON} (?:Beta|Preview) "


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

    @property
    def is_of_a_trial(self) -> bool:
        """Whether it is for the servers of Amazon's own trials, whose names are not RDS's."""
        return re.match(_TRIAL, self.name) is not None


def authority(certificate: Mapping[str, object]) -> Authority:
    """Read what `ssl.SSLContext.get_ca_certs` says of one.

    Raises:
        ValueError: the time at which it expires is none.
    """
    names = _names(certificate["subject"])
    name = names.get("commonName") or ", ".join(names.values())
    regions = regions_of_ca(f"{name} ")
    return Authority(
        name,
        ssl.cert_time_to_seconds(str(certificate["notAfter"])),
        name.startswith(AMAZON)
        or (names.get("organizationalUnitName") == AMAZON and not name.startswith(EMULATOR)),
        regions[0] if regions and not re.match(_TRIAL, name) else None,
    )


def read(certificates: Iterable[bytes]) -> dict[bytes, Authority]:
    """The authorities among certificates in DER; what cannot be read is left out."""
    found = dict[bytes, Authority]()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for certificate in certificates:
        with contextlib.suppress(ValueError, ssl.SSLError):
            context.load_verify_locations(cadata=certificate)
    with contextlib.suppress(ValueError, ssl.SSLError):
        # Both in the order in which OpenSSL keeps them.
        encoded = context.get_ca_certs(binary_form=True)
        for der, each in zip(encoded, context.get_ca_certs(), strict=True):
            with contextlib.suppress(ValueError):
                found[der] = authority(each)
    return found


def _names(subject: object) -> dict[str, str]:
    assert isinstance(subject, tuple)
    return {key: str(value) for part in subject for key, value in part}
