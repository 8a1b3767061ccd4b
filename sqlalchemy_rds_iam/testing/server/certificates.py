"""A throw-away certificate authority and the server certificates it issues, good ones and bad."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

ALPN = "postgresql"

# The CAs of Amazon RDS carry the second name; the first says that this one is not Amazon's.
_ORGANIZATION, _UNIT = "sqlalchemy-rds-iam emulator", "Amazon RDS"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Certificates:
    """Issues the emulated database's certificates. Every context is built once and kept."""

    def __init__(self, host: str, *aliases: str, alpn: str | None = ALPN) -> None:
        """Create the authority for a database.

        Args:
            host: Its name.
            aliases: More names that it has.
            alpn: The application protocol that it speaks within TLS, None for none.
        """
        self.host = host
        self._alpn = alpn
        self._names = (host, *aliases, *_LOOPBACK)
        self._authority = trustme.CA(organization_name=_ORGANIZATION, organization_unit_name=_UNIT)
        self._unrelated = trustme.CA()

    def write_ca(self, path: Path) -> Path:
        """Write the authority's certificate to `path` as PEM: what clients should trust."""
        self._authority.cert_pem.write_to_path(str(path))
        return path

    def valid(self) -> ssl.SSLContext:
        """A context for the database's own names and for loopback addresses."""
        return self._context(self._authority.issue_cert(*self._names))

    def other_host(self, host: str = "other.example.com") -> ssl.SSLContext:
        """A context of the trusted authority that names another `host` only."""
        return self._context(self._authority.issue_cert(host))

    def expired(self) -> ssl.SSLContext:
        """A context for the right names whose certificate ran out yesterday."""
        yesterday = datetime.now(UTC) - timedelta(days=1)
        return self._context(
            self._authority.issue_cert(
                *self._names,
                not_before=yesterday - timedelta(days=30),
                not_after=yesterday,
            )
        )

    def unrelated(self) -> ssl.SSLContext:
        """A context for the right names by an authority that no client trusts."""
        return self._context(self._unrelated.issue_cert(*self._names))

    def _context(self, certificate: trustme.LeafCert) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._alpn is not None:
            # Direct TLS (PostgreSQL 17) insists on it: "SSL Session Encryption" in "Message Flow".
            context.set_alpn_protocols([self._alpn])
        # PostgreSQL hands out no session tickets either.
        context.num_tickets = 0
        certificate.configure_cert(context)
        return context
