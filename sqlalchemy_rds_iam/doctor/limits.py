"""Limits of connections: how many there may be, how many are taken, and how many a pool wants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy_rds_iam.doctor.findings import Command, Finding, warning
from sqlalchemy_rds_iam.doctor.state import State

_FULL = 0.9
_POOL_SIZE, _MAX_OVERFLOW = 5, 10
"""SQLAlchemy's own, where the application says nothing."""


class Limit(NamedTuple):
    """How many connections there may be of one kind.

    Attributes:
        whose: to end "the connections of …".
        most: how many there may be.
        taken: how many there are, without the doctor's own.
        commands: to see who has them, and to raise the limit.
    """

    whose: str
    most: int
    taken: int
    commands: tuple[Command, ...]


def compared(state: State, limits: list[Limit]) -> Iterator[Finding]:
    """Warnings of limits that are reached almost, or that the pool exceeds."""
    for limit in limits:
        # With one more, the doctor's own.
        if limit.taken > 0 and limit.taken + 1 >= _FULL * limit.most:
            yield warning(
                "connections-scarce",
                f"other sessions have {limit.taken} of the {limit.most} connections of "
                f"{limit.whose}",
                fix="Close what is idle, make pools smaller, or raise the limit",
                commands=limit.commands,
            )
    size = state.keywords.get("pool_size", _POOL_SIZE)
    overflow = state.keywords.get("max_overflow", _MAX_OVERFLOW)
    smallest = min(limit.most for limit in limits)
    if "poolclass" not in state.keywords and isinstance(size, int) and size + overflow > smallest:
        yield warning(
            "pool-too-large",
            f"the pool may open {size + overflow} connections, and the limit is {smallest}",
            why="every process has a pool of its own",
            fix="Make pool_size + max_overflow, times the number of processes, smaller than that",
        )
