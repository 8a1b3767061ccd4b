"""What a connect does about a token before it asks anybody."""

from __future__ import annotations

from sqlalchemy_rds_iam.signing import Token
from sqlalchemy_rds_iam.tokens import Slot


def at_hand(slot: Slot, now: float) -> Token | None:
    """The token of `slot`, if nothing needs to be done about it."""
    token = slot.token
    return token if token and token.signed_at <= now < token.fresh_until else None
