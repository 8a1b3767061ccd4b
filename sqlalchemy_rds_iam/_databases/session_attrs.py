"""What a server says about a session: standby or primary, read-only or not.

The words are libpq's ("target_session_attrs" in the libpq chapter of the PostgreSQL documentation),
and what is asked and what an error means is for the family.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Reported(NamedTuple):
    """What a server has reported of a session without being asked; None for what it has not.

    Attributes:
        standby: whether the server follows another one.
        read_only: whether transactions of this session are read-only by default.
    """

    standby: bool | None = None
    read_only: bool | None = None


NOTHING = Reported()


class Answered(NamedTuple):
    """What a server answers about a session.

    Attributes:
        standby: see `Reported`.
        read_only: see `Reported`.
        by_user: whether a user, a database, a role's setting or the client wants that default, and
            not the server.
    """

    standby: bool
    read_only: bool
    by_user: bool


class SessionRules(NamedTuple):
    """How a family of databases tells which server a session is on.

    Attributes:
        question: SQL for one row, the fields of `Answered`.
        is_read_only: whether an error says that the transaction, or the server, is read-only.
        is_unreachable: whether a connect has failed as no server answers, or none that is up.
        begins: whether the question begins a transaction, and is refused in one that has failed.
        may_be_users: whether an error that is `is_read_only` may be a user's own wish.
        standby: what a server is that answers to be a standby, in words.
    """

    question: str
    is_read_only: Callable[[BaseException], bool]
    is_unreachable: Callable[[BaseException], bool]
    begins: bool = True
    may_be_users: bool = True
    standby: str = "a standby"


def no_report(_connection: Any) -> Reported:
    """Of a driver, or a database, that reports nothing."""
    return NOTHING
