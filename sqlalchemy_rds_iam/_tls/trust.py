"""Whom we trust: the CA file, named or found in a well-known place.

The public roots of an operating system do not include the CAs of Amazon RDS, and the RDS bundle
does not include the public roots that certify RDS Proxy ("Using SSL/TLS to encrypt a connection
to a DB instance" and "Using TLS/SSL with RDS Proxy" in the RDS user guide).
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy_rds_iam._endpoints.hostname import HostName
from sqlalchemy_rds_iam._masking import on_one_line
from sqlalchemy_rds_iam._tls import private_files, public_roots
from sqlalchemy_rds_iam._tls.ownership import exposed
from sqlalchemy_rds_iam.errors import ConfigError

logger = logging.getLogger("sqlalchemy_rds_iam")

BUNDLE_URL = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
BUNDLE_URLS = {
    "aws": BUNDLE_URL,
    "aws-us-gov": (
        "https://truststore.pki.us-gov-west-1.rds.amazonaws.com/global/global-bundle.pem"
    ),
    "aws-cn": "https://rds-truststore.s3.cn-north-1.amazonaws.com.cn/global/global-bundle.pem",
}
"""Where Amazon publishes its bundle for each partition; none of them is in another's."""
SYSTEM = "system"
"""Stands for the operating system's roots wherever a CA file may be given, as in libpq."""

STRENGTH = {"require": 1, "verify-ca": 2, "verify-full": 3}
"""The levels of protection an IAM token may travel under; libpq's weaker ones do not count."""

_RDS_BUNDLES = (
    "/etc/ssl/certs/global-bundle.pem",
    "/etc/ssl/certs/rds-global-bundle.pem",
    "/etc/ssl/certs/aws-rds-global-bundle.pem",
    "/etc/ssl/certs/aws-global-bundle.pem",
    "/etc/ssl/certs/rds-combined-ca-bundle.pem",
    "/etc/ssl/rds/global-bundle.pem",
    "/etc/ssl/rds-global-bundle.pem",
    "/etc/ssl/rds-ca-bundle.pem",
    "/etc/pki/tls/certs/global-bundle.pem",
    "/etc/pki/rds/global-bundle.pem",
    # The AWS Lambda runtime's own bundle.
    "/var/runtime/ca-cert.pem",
)
_PEM = b"-----BEGIN CERTIFICATE-----"


class CaPlaces(NamedTuple):
    """Where the clients of one kind of database look for a CA file, and so do we.

    Attributes:
        variable: of the environment, which names one.
        file: below the user's home.
    """

    variable: str | None = None
    file: str | None = None


NO_PLACES = CaPlaces()


class FoundCa(NamedTuple):
    """A CA file, and what led to it.

    Attributes:
        is_system: whether it was found as the public roots of the system, under whatever name.
        passed: the files that come before it and that others can change, each with the reason.
    """

    path: str
    rule: str
    is_system: bool = False
    passed: tuple[str, ...] = ()


def locate_ca(
    explicit: Mapping[str, str | None],
    host: HostName,
    environ: Mapping[str, str] = os.environ,
    *,
    level: str = "verify-full",
    places: CaPlaces = NO_PLACES,
) -> FoundCa:
    """Find the file with the certificate authorities to check `host` against, and say why that one.

    Args:
        explicit: files the user named, by the option that named them; the first one counts.
        host: an RDS Proxy is certified by public roots, so for one those come next.
        environ: where the variable of `places`, ``HOME`` and ``XDG_CACHE_HOME`` are read.
        level: what the file is for; with less than ``verify-full`` it must not have public roots.
        places: of the database's own clients.

    Raises:
        ConfigError: a named file is missing, unreadable, empty or not PEM; none was found that
            no other user can change; or there are public roots in it and names are not checked.
    """
    own = next(iter(explicit), "rds_iam_ca")
    found = _located(explicit, host, environ, own, places)
    if level != "verify-full" and (found.is_system or public_roots.are_in_file(found.path)):
        raise ConfigError(
            f"there are public roots in {found.path!r} ({found.rule}), and {level} checks who "
            "issued a certificate and not for which name: any server on the internet has one that "
            f"would do. Use verify-full, or name a file without public roots with {own}"
        )
    return found


def _located(
    explicit: Mapping[str, str | None],
    host: HostName,
    environ: Mapping[str, str],
    own: str,
    theirs: CaPlaces,
) -> FoundCa:
    for option, path in explicit.items():
        if path:
            return _named(option, path)
    if host.is_proxy:
        rule = "the system's public roots, which certify RDS Proxy"
        return FoundCa(system_roots(own), rule, is_system=True)
    if theirs.variable and (path := environ.get(theirs.variable)):
        return _named(theirs.variable, path)
    places = bundle_places(environ, host.partition, theirs.file)
    found, passed = _first_safe(map(str, places), own)
    if found:
        found_ca = _named("the well-known place", found)
        return found_ca._replace(rule="a well-known place", passed=tuple(passed))
    options = " or ".join(filter(None, (own, theirs.variable)))
    best = next((place for place in places if place.parent.name == private_files.CACHE), places[0])
    raise ConfigError(
        "no CA bundle found to verify the database's certificate with. Download Amazon's with "
        f"rds-iam ca --download, or from {BUNDLE_URLS.get(host.partition or '', BUNDLE_URL)} to "
        f"{best}, or anywhere and name it with {options}; looked in "
        f"{', '.join(map(str, places))}{_listed(passed)}"
    )


def _first_safe(
    places: Iterable[str], own: str, shipped: Sequence[str] = ()
) -> tuple[str | None, list[str]]:
    """The first of the files that only root and this user can change, and those before it.

    A file that is looked for decides whom connections trust without a user having chosen it.
    Those that are `shipped` are as safe as the program itself, which is in the same place.
    """
    found, passed = None, dict[str, str]()
    for place in filter(_is_file, (*places, *shipped)):
        if place in shipped or (why := exposed(Path(place).absolute())) is None:
            found = place
            break
        passed[place] = why
    if found:
        for file, why in passed.items():
            _warn(file, why, found, own)
    return found, [f"{file} ({why})" for file, why in passed.items()]


def _listed(passed: Iterable[str]) -> str:
    return "".join(f". Passed over, as others can change it: {each}" for each in passed)


@functools.cache
def _warn(passed: str, why: str, used: str, own: str) -> None:
    """Say it once in a process."""
    logger.warning(
        "the CA file %s is passed over, as others can change it: %s; %s is used. Name it with %s "
        "if it is to count, or take the right to write from others",
        *map(on_one_line, (passed, why, used, own)),
    )


def bundle_places(
    environ: Mapping[str, str] = os.environ,
    partition: str | None = None,
    file: str | None = None,
) -> list[Path]:
    """Where a CA bundle is looked for when no setting names one, best first.

    Args:
        environ: where ``HOME`` and ``XDG_CACHE_HOME`` are read.
        partition: of the database; those beside ``aws`` have bundles, and so places, of their own.
        file: below the user's home, where the database's own clients look.
    """
    places = [Path(place) for place in _RDS_BUNDLES]
    home = environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111  (never raises)
    if cache := private_files.cache_home(environ):
        names = dict.fromkeys((bundle_name(partition), bundle_name(None)))
        places[:0] = [cache / private_files.CACHE / name for name in names]
    if file and Path(home).is_absolute():
        places.insert(0, Path(home, file))
    return places


def bundle_name(partition: str | None) -> str:
    """What the bundle of a partition is called in the user's cache."""
    return "global-bundle.pem" if partition in {None, "aws"} else f"{partition}-bundle.pem"


def system_roots(option: str = "rds_iam_ca") -> str:
    """Find the operating system's file of public roots, else the one that botocore ships.

    A path and not libpq's own ``sslrootcert=system``: the libpq inside psycopg's and psycopg2's
    binary wheels looks for it in a place that exists on their build machines only.

    Args:
        option: names a file instead, in the error.
    """
    named, *places = public_roots.files()
    if named and _is_file(named):
        return named  # by SSL_CERT_FILE
    shipped = [*public_roots.shipped()]
    found, passed = _first_safe(places, option, shipped)
    if found:
        return found
    raise ConfigError(
        f"no file of public root certificates found in {', '.join([*places, *shipped])}: "
        f"install the ca-certificates package, or name a file with {option}{_listed(passed)}"
    )


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError:  # below a directory of another user
        return False


def _named(option: str, path: str) -> FoundCa:
    if path == SYSTEM:
        return FoundCa(system_roots(option), option, is_system=True)
    file = Path(path).expanduser().absolute()
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{option}: cannot read the CA file {str(file)!r} ({error.strerror}). Amazon's "
            f"bundle is at {BUNDLE_URL}"
        ) from None
    if _PEM not in content:
        what = "holds no PEM certificate" if content.strip() else "is empty"
        raise ConfigError(
            f"{option}: the CA file {str(file)!r} {what}; expected a file that has lines "
            f"'{_PEM.decode()}', such as {BUNDLE_URL}"
        )
    return FoundCa(str(file), option)
