"""The place of one endpoint's token, and what a connect is told that asks for it."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam._passwords.expiry import Holding
from sqlalchemy_rds_iam._passwords.fetch import Flight
from sqlalchemy_rds_iam._passwords.password import Token


class Slot:
    """The place of one endpoint's token. Whoever connects there holds it; then it is gone."""

    __slots__ = ("__weakref__", "accepted_at", "endpoint", "first_until", "signer", "token")

    def __init__(self, endpoint: Endpoint | str) -> None:
        self.endpoint = endpoint
        self.token: Token | None = None
        self.signer: Holding | None = None
        self.accepted_at = self.first_until = float("-inf")

    def fresh(self, now: float) -> Token | None:
        """The token if nothing needs to be done about it: the warm path, without a lock."""
        token = self.token
        if token is not None and token.signed_at <= now < token.fresh_until:
            return token
        return None


class Answer(NamedTuple):
    """What there is for a connect: a token to use, a flight to start or to join, or both.

    Neither means that what is in hand has ended meanwhile, and has to be looked up again.

    Attributes:
        token: the token.
        flight: the fetch.
        lead: whether the flight is the caller's to start.
        minted: whether the token is new.
    """

    token: Token | None
    flight: Flight | None = None
    lead: bool = False
    minted: bool = False
