"""The connect arguments that decide where a password goes, and how well it is protected. Pure.

A listener of ``do_connect`` may change every argument after the plugin has settled them. What it
makes of these has to be as safe as what was settled; what cannot be told counts as weaker.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy_rds_iam._databases import mysql_words
from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam._tls import contexts, trust

_PLACES = {
    *("host", "hostaddr", "port", "user", "username"),
    *("service", "servicefile", "dsn", "conninfo", "unix_sock", "sock"),
    *(mysql_words.REFUSED.keys() | mysql_words.PLUGINS),
}
_TLS_BEGINS = ("ssl", "gss", "tls_")
_TLS = {"direct_tls", "channel_binding"}
# About the client's certificate: another one leaves the check of the server's as it is.
_CLIENT = {"sslcert", "sslkey", "sslpassword", "sslsni"}
_REVOCATION = {"sslcrl", "sslcrldir"}
_AUTHORITIES = {"sslrootcert", "ssl_ca", "ca"}
# The values of the drivers' words that protect at least as much as the default does, weakest first.
_ORDER: dict[str, tuple[Any, ...]] = {
    "sslmode": tuple(trust.STRENGTH),
    "gssencmode": ("disable",),
    "sslcertmode": ("allow", "require"),
    "channel_binding": ("prefer", "require"),
    "ssl_min_protocol_version": ("TLSv1.2", "TLSv1.3"),
    "ssl_max_protocol_version": ("TLSv1.2", "TLSv1.3"),
    "ssl_mode": ("REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"),
    "ssl_disabled": (False,),
}


def is_guarded(name: str) -> bool:
    """Whether a connect argument of this name decides about place or protection."""
    return name in _PLACES or _is_about_tls(name)


def weaker(settled: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """The names of those arguments that protect a connection less than what was settled.

    Args:
        settled: the connect arguments as they were settled.
        now: as the driver is about to get them.
    """
    for name in sorted(settled.keys() | now.keys()):
        if _is_about_tls(name) and not _as_safe(name, settled.get(name), now.get(name)):
            yield name


def elsewhere(settled: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """The names of those arguments that lead to another server, or to another user of it."""
    for name in sorted(_PLACES):
        before, after = settled.get(name), now.get(name)
        if before != after and _place(name, before) != _place(name, after):
            yield name


def _is_about_tls(name: str) -> bool:
    return name.startswith(_TLS_BEGINS) or name in _TLS


def _place(name: str, value: Any) -> str | None:
    if name == "host" and isinstance(value, str):
        return parse_host(value).host
    return None if value is None else str(value)


def _as_safe(name: str, before: Any, now: Any) -> bool:
    if now is before or now == before:
        return True
    if now is None:
        return False
    if isinstance(now, ssl.SSLContext):
        return isinstance(before, ssl.SSLContext) and _trusts_no_more(before, now)
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return all(_as_safe(word, before.get(word), now.get(word)) for word in {*before, *now})
    return _is_as_good_a_word(name, before, now)


def _is_as_good_a_word(name: str, before: Any, now: Any) -> bool:
    if name in _ORDER:
        levels = _ORDER[name]
        return now in levels and levels.index(now) >= levels.index(before or levels[0])
    if name in _AUTHORITIES and before is not None:
        return _trusts_no_more(_authorities(before), _authorities(now))
    # A new `ssl_ca` is another matter: PyMySQL makes a context of it, and forgets the one it has.
    is_new = before is None and (name in _REVOCATION or name == "sslrootcert")
    return is_new or name in _CLIENT


def _trusts_no_more(before: ssl.SSLContext, now: ssl.SSLContext) -> bool:
    """Whether a context checks as much as another, and by no other authorities."""
    if trust.STRENGTH[contexts.strength(now)] < trust.STRENGTH[contexts.strength(before)]:
        return False
    if contexts.speaks_old_versions(now) and not contexts.speaks_old_versions(before):
        return False
    known = set(before.get_ca_certs(binary_form=True))
    trusted = set(now.get_ca_certs(binary_form=True))
    return before.verify_mode != ssl.CERT_REQUIRED or (bool(trusted) and trusted <= known)


def _authorities(file: Any) -> ssl.SSLContext:
    """A context that trusts what is in a CA file: nothing, if it is none."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with contextlib.suppress(OSError, TypeError, ValueError):  # an ssl.SSLError is an OSError
        found.load_verify_locations(file)
    return found
