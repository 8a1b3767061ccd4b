"""What a connection logs in with: a password, what goes with it, and how long it is good for."""

from __future__ import annotations

from dataclasses import dataclass


class MaskedStr(str):
    """A password for the driver: the plain text to code that uses it, masked where it is printed.

    Connect arguments end up in tracebacks that show local variables, SQLAlchemy's and the driver's
    included; only the value itself can keep its text out of all of them.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<masked, {len(self)} characters>"

    def __call__(self) -> str:
        """The plain text: asyncpg's SCRAM takes no other kind, and asks what can be called."""
        return str(self)


@dataclass(slots=True)
class IssuedPassword:
    """A database password and the span of time it is good for (epoch seconds).

    Attributes:
        fresh_until: when something has to be done about it: make another one, or renew what it is
            made of.
        accepted: whether a login with it has succeeded, so that a refusal means a change.
    """

    password: MaskedStr
    signed_at: float
    expires_at: float
    fresh_until: float = 0.0
    accepted: bool = False
