"""What one answer of a server means, and what to do about it: a row of a family's table."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy_rds_iam.doctor.advice import look
from sqlalchemy_rds_iam.doctor.findings import Certainty, Command
from sqlalchemy_rds_iam.doctor.state import State

EVENTS = look("aws rds describe-events --duration 60")
"""Shows what AWS has done to databases in the last hour."""


class Meaning(NamedTuple):
    """What one answer means.

    Attributes:
        error: the beginning of the error's code: a SQLSTATE of PostgreSQL's, a number of MySQL's.
        pattern: found in its text.
        commands: to paste, with ``{user}`` and ``{database}`` in them; or what makes them.
        routine: of PostgreSQL's, which says the same in every language.
        any_words: whether the error's code says it all, where it is known.
    """

    error: str
    pattern: str
    code: str
    summary: str
    fix: str
    commands: tuple[Command | Callable[[State], tuple[Command, ...]], ...] = ()
    certainty: Certainty = Certainty.CERTAIN
    routine: str = ""
    any_words: bool = False
