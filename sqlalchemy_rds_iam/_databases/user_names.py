"""How long a database user's name may be, and what a server makes of a longer one."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy_rds_iam._databases.family import Family
from sqlalchemy_rds_iam.errors import ConfigError

logger = logging.getLogger("sqlalchemy_rds_iam")


def kept(name: str, longest: int, counts: str = "bytes") -> str:
    """What a server keeps of a name: whole characters, as many as fit.

    Args:
        name: the whole name.
        longest: how long it may be.
        counts: what that counts: ``bytes`` or ``characters``.
    """
    if counts == "characters":
        return name[:longest]
    return name.encode(errors="surrogatepass")[:longest].decode(errors="ignore")


def length(name: str, counts: str = "bytes") -> int:
    """The length of a name: of bytes as they are sent."""
    return len(name if counts == "characters" else name.encode(errors="surrogatepass"))


def refuse_cut(user: str, family: Family) -> None:
    """Refuse a name that the server would cut, as a token is not good for what is left.

    Raises:
        ConfigError: it is too long.
    """
    counts, longest = family.counts, family.longest_name
    if (cut := kept(user, longest, counts)) != user:
        raise ConfigError(
            f"the user name {user!r} has {length(user, counts)} {counts}, and {family.title} keeps "
            f"{longest}: it would look for {cut!r}, for which a token signed for the longer name "
            "is not good; give the name as the database has it"
        )


class Lengths:
    """Warns once of each name that a server cuts; a password may be good for it all the same."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._seen: set[Any] = set()

    def check(self, user: Any) -> None:
        """Look at the user whom a connection is for."""
        if user in self._seen or not isinstance(user, str):
            return
        self._seen.add(user)
        longest, counts = self._family.longest_name, self._family.counts
        if (cut := kept(user, longest, counts)) != user:
            logger.warning(
                "the user name %r has %d %s, and %s keeps %d: it logs in as %r",
                *(user, length(user, counts), counts, self._family.title, longest, cut),
            )
