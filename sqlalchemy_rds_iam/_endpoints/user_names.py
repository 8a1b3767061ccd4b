"""How long a database user's name may be, and what PostgreSQL makes of a longer one."""

from __future__ import annotations

import logging
from typing import Any

LONGEST = 63
"""Bytes of a name that PostgreSQL keeps (``NAMEDATALEN`` - 1, "Identifiers and Key Words")."""

logger = logging.getLogger("sqlalchemy_rds_iam")


def kept(name: str) -> str:
    """What PostgreSQL keeps of a name: whole characters that fit, as ``pg_mbcliplen`` cuts them."""
    return name.encode(errors="surrogatepass")[:LONGEST].decode(errors="ignore")


def length(name: str) -> int:
    """The bytes of a name, as they are sent."""
    return len(name.encode(errors="surrogatepass"))


class Lengths:
    """Warns once of each name that PostgreSQL cuts; a password may be good for it all the same."""

    def __init__(self) -> None:
        self._seen: set[Any] = set()

    def check(self, user: Any) -> None:
        """Look at the user whom a connection is for."""
        if user in self._seen or not isinstance(user, str):
            return
        self._seen.add(user)
        if (cut := kept(user)) != user:
            logger.warning(
                "the user name %r has %d bytes, and PostgreSQL keeps %d: it logs in as %r",
                user,
                length(user),
                LONGEST,
                cut,
            )
