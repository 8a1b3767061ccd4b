"""The cache's entry for one endpoint, and what a look-up yields."""

from __future__ import annotations

import threading
from typing import NamedTuple

from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam._passwords.expiry import Cached
from sqlalchemy_rds_iam._passwords.fetch import Fetch
from sqlalchemy_rds_iam._passwords.password import IssuedPassword


class CacheEntry:
    """The place of one endpoint's token. It lives as long as an engine that connects there."""

    __slots__ = (
        *("__weakref__", "accepted_at", "accepted_before", "endpoint", "first_refused"),
        *("first_until", "lock", "signer", "token"),
    )

    def __init__(self, endpoint: Endpoint | str) -> None:
        self.endpoint = endpoint
        self.token: IssuedPassword | None = None
        self.signer: Cached | None = None
        self.accepted_at = self.accepted_before = float("-inf")
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew: a thread of the parent's goes ahead, and may have held the lock."""
        self.lock = threading.Lock()
        self.first_until = self.first_refused = float("-inf")

    def fresh(self, now: float) -> IssuedPassword | None:
        """The token if nothing needs to be done about it: the warm path, without a lock."""
        token = self.token
        if token is not None and token.signed_at <= now < token.fresh_until:
            return token
        return None


class CacheLookup(NamedTuple):
    """What there is for a connect: a token to use, a fetch to start or to join, or both.

    Neither means that what is in hand has ended meanwhile, and has to be looked up again.

    Attributes:
        token: the token.
        fetch: one under way, or to be started.
        must_fetch: whether the caller has to start it.
        minted: whether the token is new.
    """

    token: IssuedPassword | None
    fetch: Fetch | None = None
    must_fetch: bool = False
    minted: bool = False
