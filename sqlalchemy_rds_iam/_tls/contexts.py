"""SSL contexts that check the signed endpoint's name, and tell who issued what they turn down.

They are built once instead of on every connect.
"""

from __future__ import annotations

import contextlib
import functools
import ssl
from typing import Any, NamedTuple

from sqlalchemy_rds_iam._endpoints.hostname import HostName
from sqlalchemy_rds_iam._tls import ca_bundle
from sqlalchemy_rds_iam.errors import ConfigError

_LONGEST = 200


class NamedContext(ssl.SSLContext):
    """Checks the certificate against the signed endpoint even when a tunnel is what is dialled.

    Attributes:
        name: what the certificate has to name, if it is not the name that is dialled.
    """

    name: str | None = None

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        """See `ssl.SSLContext.wrap_socket`."""
        return super().wrap_socket(*args, **self._named(kwargs))

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """See `ssl.SSLContext.wrap_bio`."""
        return super().wrap_bio(*args, **self._named(kwargs))

    def _named(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        return kwargs if self.name is None else {**kwargs, "server_hostname": self.name}


class _Socket(ssl.SSLSocket):
    def do_handshake(self, *args: Any) -> None:  # gevent's takes no argument
        try:
            super().do_handshake(*args)
        except ssl.SSLCertVerificationError as error:
            _tell_issuer(error, self)
            raise


class _Object(ssl.SSLObject):
    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            _tell_issuer(error, self)
            raise


NamedContext.sslsocket_class = _Socket
NamedContext.sslobject_class = _Object


def context(
    mode: str, ca: str | None, host: HostName, *, check_name: bool, alpn: str | None = None
) -> ssl.SSLContext:
    """The SSL context for drivers that take one, shared by all connects with the same trust.

    Args:
        mode: ``require``, ``verify-ca`` or ``verify-full``.
        ca: CA file, or None not to verify (``require`` only). CAs that Amazon RDS has in other
            regions than the host's are left out of it, see `ca_bundle.narrowed`.
        host: the signed host.
        check_name: check the certificate against `host`, whatever name is dialled (a tunnel).
        alpn: the name of the protocol within TLS, where servers insist on it (RFC 7301).

    Raises:
        ConfigError: the CA file cannot be parsed.
    """
    name = host.host if check_name else None
    if ca is None:
        return _context(mode, None, name, alpn)
    source = ca_bundle.source(ca, host.region)
    ca_bundle.part(source).log(source, ca)
    return _context(mode, source, name, alpn)


def check(ca: str) -> None:
    """Parse a CA file that a driver is going to parse on every connect, so that errors show early.

    Raises:
        ConfigError: it cannot be parsed.
    """
    _context("verify-ca", ca_bundle.source(ca, None), None, None)


@functools.lru_cache(maxsize=64)
def _context(
    mode: str, source: ca_bundle.CaFile | None, name: str | None, alpn: str | None
) -> ssl.SSLContext:
    ctx = NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.name = name
    ctx.minimum_version = ssl.TLSVersion.TLSv1_2
    if alpn is not None:
        ctx.set_alpn_protocols([alpn])
    ctx.check_hostname = mode == "verify-full"
    if source is None:
        ctx.verify_mode = ssl.CERT_NONE
        return ctx
    part = ca_bundle.part(source).content
    try:
        if part is None:
            ctx.load_verify_locations(cafile=source.ca)
        else:
            ctx.load_verify_locations(cadata=part.decode())
    except ssl.SSLError as error:
        raise ConfigError(f"the CA file {source.ca!r} cannot be parsed ({error.reason})") from None
    return ctx


def issuer(error: BaseException) -> str | None:
    """Who issued the certificate that was turned down with `error`, if a context here told.

    It is the server's own word, as nothing about it was verified.
    """
    return getattr(error, "issued_by", None)


def strength(ctx: ssl.SSLContext) -> str:
    """The level of protection that an SSL context of the user's own gives."""
    if ctx.verify_mode != ssl.CERT_REQUIRED:
        return "require"
    return "verify-full" if ctx.check_hostname else "verify-ca"


def speaks_old_versions(ctx: ssl.SSLContext) -> bool:
    """Whether an SSL context is told to speak TLS before 1.2, which RFC 8996 rules out.

    Where it is left to OpenSSL's configuration, as by the Python of Debian, that has the say.
    """
    return ssl.TLSVersion.SSLv3 <= ctx.minimum_version < ssl.TLSVersion.TLSv1_2


class Given(NamedTuple):
    """An SSL context of the user's own, which may be changed after it was looked at.

    Attributes:
        context: the context.
        level: its `strength` then.
        good_for: 0, as looking costs no system call.
    """

    context: ssl.SSLContext
    level: str
    good_for: float = 0.0

    def is_current(self) -> bool:
        """Whether it is still as strong."""
        return strength(self.context) == self.level and not speaks_old_versions(self.context)


def _tell_issuer(error: ssl.SSLCertVerificationError, connection: Any) -> None:
    # Not documented before Python 3.13, and a help only: where it fails, the note is shorter.
    with contextlib.suppress(Exception):
        chain = connection._sslobj.get_unverified_chain()  # noqa: SLF001
        shown = chain[0].get_info()["issuer"]
        names = {key: value for part in shown for key, value in part}
        told = names.get("commonName") or ", ".join(names.values())
        error.issued_by = told[:_LONGEST]  # type: ignore[attr-defined]
