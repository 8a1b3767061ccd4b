"""What a catalogue of a family's errors holds."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy_rds_iam._databases.family import SessionRules


class Catalogue(NamedTuple):
    """Errors of a family's drivers, by what they say of the server.

    Attributes:
        rules: what tells them apart.
        unreachable: there is none, or none that is up.
        answers: it is up, and another one would say the same.
        read_only: it is up, and does not take writes.
        others: of statements, for other reasons.
    """

    rules: SessionRules
    unreachable: list[Exception]
    answers: list[Exception]
    read_only: list[Exception]
    others: list[Exception]
