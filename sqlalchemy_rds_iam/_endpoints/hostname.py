"""Where we connect: what an Amazon RDS host name says about region, kind and partition. Pure.

The grammar follows the endpoint names AWS documents for RDS, Aurora and RDS Proxy; a name that
only resembles one yields no region, because a wrong region is refused by the database with the
same words as a wrong password.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy_rds_iam._masking import on_one_line
from sqlalchemy_rds_iam.errors import ConfigError

FindRegion = Callable[[], str | None]
"""Finds the region of the AWS session, for names that carry none; None if there is none."""


class Endpoint(NamedTuple):
    """The endpoint that a token is signed for, and the region of its signature if it has one."""

    host: str
    port: int
    user: str
    region: str

    def __str__(self) -> str:
        """What messages and log records say, on one line whatever the user is called."""
        region = self.region and f" ({self.region})"
        return on_one_line(f"{self.user}@{self.host}:{self.port}{region}")


class HostName(NamedTuple):
    """What a host name says about itself.

    Attributes:
        host: lower-cased and without the trailing dot; this is the spelling that gets signed.
        kind: ``instance``, ``cluster``, ``cluster-ro``, ``cluster-custom``, ``proxy``,
            ``proxy-endpoint``, ``limitless``, ``global-writer``, or what it is instead of a
            database endpoint: ``api``, ``dsql``, ``ip``, ``socket``, ``multi-host``, ``other``.
        region: None wherever the name carries none, as with a global writer or a custom domain.
        partition: ``aws``, ``aws-cn``, …; None outside Amazon's own domains.
    """

    host: str
    kind: str
    region: str | None = None
    partition: str | None = None

    @property
    def is_proxy(self) -> bool:
        """Whether this is RDS Proxy, whose certificates come from public roots, not RDS's own."""
        return self.kind in {"proxy", "proxy-endpoint"}


# Patterns are compiled when they are first tried, as a process needs few of them: frequent kinds
# first, of which a name never has two.
# Region names by partition, after botocore's partitions.json, and the order of labels in each:
# China and GovCloud are seen with both.
_SUFFIXES = tuple(
    (partition, rf"(.+)\.{suffix.format(region=f'({region})')}")
    for partition, region, suffix in (
        ("aws", r"(?:us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-\d+", r"{region}\.rds\.amazonaws\.com"),
        ("aws-us-gov", r"us-gov-[a-z]+-\d+", r"{region}\.rds\.amazonaws\.com"),
        ("aws-us-gov", r"us-gov-[a-z]+-\d+", r"rds\.{region}\.amazonaws\.com"),
        ("aws-cn", r"cn-[a-z]+-\d+", r"{region}\.rds\.amazonaws\.com\.cn"),
        ("aws-cn", r"cn-[a-z]+-\d+", r"rds\.{region}\.amazonaws\.com\.cn"),
        ("aws-eusc", r"eusc-[a-z]+-[a-z]+-\d+", r"{region}\.rds\.amazonaws\.eu"),
        ("aws-iso", r"us-iso-[a-z]+-\d+", r"rds\.{region}\.c2s\.ic\.gov"),
        ("aws-iso-b", r"us-isob-[a-z]+-\d+", r"rds\.{region}\.sc2s\.sgov\.gov"),
        ("aws-iso-e", r"eu-isoe-[a-z]+-\d+", r"rds\.{region}\.cloud\.adc-e\.uk"),
        ("aws-iso-f", r"us-isof-[a-z]+-\d+", r"rds\.{region}\.csp\.hci\.ic\.gov"),
    )
)
_NAME = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HASH = r"[a-z0-9]+"
_KINDS = tuple(
    (kind, rf"{_NAME}\.{label}")
    for kind, label in (
        ("instance", _HASH),
        ("cluster", rf"cluster-{_HASH}"),
        ("cluster-ro", rf"cluster-ro-{_HASH}"),
        ("proxy", rf"proxy-{_HASH}"),
        ("proxy-endpoint", rf"endpoint\.proxy-{_HASH}"),
        ("cluster-custom", rf"cluster-custom-{_HASH}"),
        ("limitless", rf"(?:shardgrp|limitless)-{_HASH}"),
    )
)
# The server of the CA bundle has the shape of an instance's name.
_TRUSTSTORE = "truststore.pki"
_NO_ENDPOINT = {
    "socket": "passwords and tokens go over TCP with TLS only, not over a Unix socket",
    "multi-host": "a password or token is for one host only; use one engine for each host",
    "dsql": "Aurora DSQL takes tokens of another kind (see the aurora-dsql-sqlalchemy package)",
    "api": "this is the endpoint of an AWS API; use the endpoint of the database",
}
_WITHOUT_REGION = (
    ("global-writer", "aws", rf"{_NAME}\.global-{_HASH}\.global\.rds\.amazonaws\.com"),
    ("dsql", None, rf"{_HASH}\.dsql\.[a-z0-9-]+\.on\.aws"),
    (
        "api",
        None,
        (
            r"(?:vpce-[a-z0-9-]+\.)?(?:rds|rds-fips|rds-data)\.[a-z0-9-]+\.(?:vpce\.)?"
            r"(?:amazonaws\.(?:com|com\.cn|eu)|api\.aws)"
        ),
    ),
)


def parse_host(host: str) -> HostName:
    """Read what a host name says about itself.

    Source: "Connecting to a DB instance", "Aurora connection management" and "Connecting to a
    database through RDS Proxy" in the Amazon RDS and Aurora user guides.

    Args:
        host: one host as the driver gets it: name, IP address, socket directory or a list.
    """
    name = host.lower().removesuffix(".")
    if "," in host:
        return HostName(host, "multi-host")
    if host.startswith(("/", "@")):
        return HostName(host, "socket")
    if _is_ip(name):
        return HostName(name, "ip")
    # Lower-casing turns a Kelvin sign into a plain k, so look-alikes must go before the grammar.
    found = _endpoint(name) if host.isascii() else None
    return found or HostName(name, "other")


def parse_database_host(host: str) -> HostName:
    """Like `parse_host`, for a host that is to be connected to or signed for.

    Raises:
        ConfigError: it cannot be the endpoint of a database.
    """
    found = parse_host(host)
    if found.kind in _NO_ENDPOINT:
        raise ConfigError(f"host {host!r} cannot be used: {_NO_ENDPOINT[found.kind]}")
    return found


def signed_endpoint(
    host: HostName,
    port: int,
    user: str,
    *,
    region: str | None,
    ambient_region: FindRegion,
) -> Endpoint:
    """Settle what a token for `user` at `host` is signed for.

    Args:
        host: the parsed name that the token is signed for.
        port: the port of that endpoint, which need not be the one connected to.
        user: the database user, spelled as in the database.
        region: the region the user asked for, if any.
        ambient_region: finds the region of the AWS session, for names that carry none.

    Raises:
        ConfigError: its region is unknown or contradicted.
    """
    if region and host.region and region != host.region:
        raise ConfigError(
            f"rds_iam_region={region!r} contradicts {host.host!r}, which is in {host.region}: "
            "remove the option, or correct the host"
        )
    if found := region or host.region or ambient_region():
        return Endpoint(host.host, port, user, found)
    if host.kind == "global-writer":
        raise ConfigError(
            f"the global writer endpoint {host.host!r} names no region: set rds_iam_region to the "
            "region of the primary cluster"
        )
    raise ConfigError(
        f"no region for {host.host!r}, which is no RDS endpoint name: if it stands for one (a "
        "CNAME, an IP address, a tunnel), set rds_iam_host to the endpoint's own name, which is "
        "what RDS wants signed and what names the region, or let a CNAME be followed with "
        "rds_iam_resolve_cname; rds_iam_region sets the region alone"
    )


def _endpoint(name: str) -> HostName | None:
    for partition, suffix in _SUFFIXES:
        if match := re.fullmatch(suffix, name):
            prefix, region = match.groups()
            for kind, pattern in _KINDS:
                if prefix != _TRUSTSTORE and re.fullmatch(pattern, prefix):
                    return HostName(name, kind, region, partition)
    for kind, home, pattern in _WITHOUT_REGION:
        if re.fullmatch(pattern, name):
            return HostName(name, kind, None, home)
    return None


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
