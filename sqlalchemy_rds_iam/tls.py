"""Whom we trust: the CA file, and SSL contexts that are built once instead of on every connect.

The public roots of an operating system do not include the CAs of Amazon RDS, and the RDS bundle
does not include the public roots that certify RDS Proxy ("Using SSL/TLS to encrypt a connection
to a DB instance" and "Using TLS/SSL with RDS Proxy" in the RDS user guide).
"""

from __future__ import annotations

import functools
import importlib.util
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy_rds_iam import bundle
from sqlalchemy_rds_iam.endpoint import HostName
from sqlalchemy_rds_iam.errors import ConfigError

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
_SYSTEM_ROOTS = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_PEM = b"-----BEGIN CERTIFICATE-----"


class FoundCa(NamedTuple):
    """A CA file, and what led to it."""

    path: str
    rule: str


def find_ca(
    explicit: Mapping[str, str | None], host: HostName, environ: Mapping[str, str] = os.environ
) -> str:
    """Find the file with the certificate authorities to check `host` against; see `locate_ca`."""
    return locate_ca(explicit, host, environ).path


def locate_ca(
    explicit: Mapping[str, str | None], host: HostName, environ: Mapping[str, str] = os.environ
) -> FoundCa:
    """Find the file with the certificate authorities to check `host` against, and say why that one.

    Args:
        explicit: files the user named, by the option that named them; the first one counts.
        host: an RDS Proxy is certified by public roots, so for one those come next.
        environ: where ``PGSSLROOTCERT``, ``HOME`` and ``XDG_CACHE_HOME`` are read.

    Raises:
        ConfigError: a named file is missing, unreadable, empty or not PEM; or none was found.
    """
    for option, path in explicit.items():
        if path:
            return FoundCa(_checked(option, path), option)
    own = next(iter(explicit), "rds_iam_ca")
    if host.is_proxy:
        return FoundCa(system_roots(own), "the system's public roots, which certify RDS Proxy")
    if path := environ.get("PGSSLROOTCERT"):
        return FoundCa(_checked("PGSSLROOTCERT", path), "PGSSLROOTCERT")
    places = bundle_places(environ, host.partition)
    for place in places:
        if _is_file(place):
            return FoundCa(_checked("the well-known place", str(place)), "a well-known place")
    best = next((place for place in places if place.parent.name == bundle.CACHE), places[0])
    raise ConfigError(
        "no CA bundle found to verify the database's certificate with. Download Amazon's with "
        f"rds-iam ca --download, or from {BUNDLE_URLS.get(host.partition or '', BUNDLE_URL)} to "
        f"{best}, or anywhere and name it with {own} or PGSSLROOTCERT; looked in "
        f"{', '.join(map(str, places))}"
    )


def bundle_places(
    environ: Mapping[str, str] = os.environ, partition: str | None = None
) -> list[Path]:
    """Where a CA bundle is looked for when nobody named one, best first.

    Args:
        environ: where ``HOME`` and ``XDG_CACHE_HOME`` are read.
        partition: of the database; those beside ``aws`` have bundles, and so places, of their own.
    """
    places = [Path(place) for place in _RDS_BUNDLES]
    home = environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111  (never raises)
    if cache := bundle.cache_home(environ):
        names = dict.fromkeys((bundle_name(partition), bundle_name(None)))
        places[:0] = [cache / bundle.CACHE / name for name in names]
    if Path(home).is_absolute():
        places.insert(0, Path(home, ".postgresql", "root.crt"))
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
    candidates = [ssl.get_default_verify_paths().cafile, *_SYSTEM_ROOTS]
    spec = importlib.util.find_spec("botocore")
    if spec and spec.origin:
        candidates.append(str(Path(spec.origin).with_name("cacert.pem")))
    for path in candidates:
        if path and _is_file(Path(path)):
            return path
    raise ConfigError(
        f"no file of public root certificates found in {', '.join(filter(None, candidates))}: "
        f"install the ca-certificates package, or name a file with {option}"
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # below a directory of somebody else
        return False


def _checked(option: str, path: str) -> str:
    if path == SYSTEM:
        return system_roots(option)
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
    return str(file)


def context(mode: str, ca: str | None, host: HostName, *, check_name: bool) -> ssl.SSLContext:
    """The SSL context for drivers that take one, shared by all connects with the same trust.

    Args:
        mode: ``require``, ``verify-ca`` or ``verify-full``.
        ca: CA file, or None not to verify (``require`` only). CAs that Amazon RDS has in other
            regions than the host's are left out of it, see `bundle.narrow`.
        host: the signed host; an RDS Proxy may be certified by the system's roots as well.
        check_name: check the certificate against `host`, whatever name is dialled (a tunnel).

    Raises:
        ConfigError: the CA file cannot be parsed.
    """
    name = host.host if check_name else None
    if ca is None:
        return _context(mode, None, host.is_proxy, name)
    source = bundle.source(ca, host.region)
    bundle.part(source).log(source, ca)
    return _context(mode, source, host.is_proxy, name)


def check(ca: str) -> None:
    """Parse a CA file that libpq is going to parse on every connect, so that errors show early.

    Raises:
        ConfigError: it cannot be parsed.
    """
    _context("verify-ca", bundle.source(ca, None), proxy=False, name=None)


def strength(ctx: ssl.SSLContext) -> str:
    """The level of protection that an SSL context of the user's own gives."""
    if ctx.verify_mode != ssl.CERT_REQUIRED:
        return "require"
    return "verify-full" if ctx.check_hostname else "verify-ca"


def speaks_old_versions(ctx: ssl.SSLContext) -> bool:
    """Whether an SSL context would speak TLS before 1.2, which RFC 8996 rules out."""
    oldest = ctx.minimum_version
    return oldest < ssl.TLSVersion.TLSv1_2 and oldest != ssl.TLSVersion.MAXIMUM_SUPPORTED


class Given(NamedTuple):
    """An SSL context of the user's own, which may be changed after it was looked at.

    Attributes:
        context: the context.
        level: its `strength` then.
    """

    context: ssl.SSLContext
    level: str

    def is_current(self) -> bool:
        """Whether it is still as strong."""
        return strength(self.context) == self.level and not speaks_old_versions(self.context)


@functools.lru_cache(maxsize=64)
def _context(
    mode: str, source: bundle.Source | None, proxy: bool, name: str | None
) -> ssl.SSLContext:
    ctx = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.name = name
    ctx.minimum_version = ssl.TLSVersion.TLSv1_2
    ctx.set_alpn_protocols(["postgresql"])  # direct TLS negotiation insists on it
    ctx.check_hostname = mode == "verify-full"
    if source is None:
        ctx.verify_mode = ssl.CERT_NONE
        return ctx
    part = bundle.part(source).content
    try:
        if part is None:
            ctx.load_verify_locations(cafile=source.ca)
        else:
            ctx.load_verify_locations(cadata=part.decode())
    except ssl.SSLError as error:
        raise ConfigError(f"the CA file {source.ca!r} cannot be parsed ({error.reason})") from None
    if proxy and (roots := system_roots()) != source.ca:
        ctx.load_verify_locations(cafile=roots)
    return ctx


class _NamedContext(ssl.SSLContext):
    """Checks the certificate against the signed endpoint even when a tunnel is what is dialled."""

    name: str | None = None

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        return super().wrap_socket(*args, **self._named(kwargs))

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        return super().wrap_bio(*args, **self._named(kwargs))

    def _named(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        return kwargs if self.name is None else {**kwargs, "server_hostname": self.name}
