"""How long a database user's name may be, and what a server makes of a longer one."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy_rds_iam._databases.family import Family
from sqlalchemy_rds_iam.errors import ConfigError

logger = logging.getLogger("sqlalchemy_rds_iam")


def kept(name: str, longest: int) -> str:
    """What a server keeps of a name: whole characters that fit into so many bytes."""
    return name.encode(errors="surrogatepass")[:longest].decode(errors="ignore")


def length(name: str) -> int:
    """The bytes of a name, as they are sent."""
    return len(name.encode(errors="surrogatepass"))


def refuse_cut(user: str, family: Family) -> None:
    """Refuse a name that the server would cut, as a token is not good for what is left.

    Raises:
        ConfigError: it is too long.
    """
    if (cut := kept(user, family.longest_name)) != user:
        raise ConfigError(
            f"the user name {user!r} has {length(user)} bytes, and {family.title} keeps "
            f"{family.longest_name}: it would look for {cut!r}, for which a token signed for the "
            "longer name is not good; give the name as the database has it"
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
        longest = self._family.longest_name
        if (cut := kept(user, longest)) != user:
            logger.warning(
                "the user name %r has %d bytes, and %s keeps %d: it logs in as %r",
                *(user, length(user), self._family.title, longest, cut),
            )
