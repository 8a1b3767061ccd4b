"""How sure a number is: quartiles, the interval of a ratio, what the same thing twice differs by.

Two engines that are built alike and measured in turns differ, too, and by how much is found out by
doing so: the null comparison. A target counts as kept if it is met by more than that, and as missed
if it is missed by more than that; what lies in between is within the noise of the machine.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Literal, NamedTuple

KEPT, WITHIN_NOISE, MISSED = "kept", "within noise", "MISSED"

_CONFIDENCE = 0.95


class Quartiles(NamedTuple):
    """The median of values, and between what their middle half lies."""

    low: float
    median: float
    high: float

    def times(self, factor: float) -> Quartiles:
        """The same in another unit."""
        return Quartiles(*(factor * each for each in self))

    def columns(self, form: str = ".2f") -> tuple[str, str]:
        """Two cells of a table: the median, and the quartiles below and above it."""
        return f"{self.median:{form}}", f"{self.low:{form}}-{self.high:{form}}"


class Interval(NamedTuple):
    """A value, and between what it lies with a confidence of 95 %."""

    low: float
    value: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f}-{self.high:.2f})"


def quartiles(values: Sequence[float]) -> Quartiles:
    """Of at least one value (Hyndman and Fan's definition 7, as in most programs)."""
    if len(values) == 1:
        return Quartiles(values[0], values[0], values[0])
    return Quartiles(*statistics.quantiles(values, n=4, method="inclusive"))


def ratio(mine: Sequence[float], others: Sequence[float]) -> Interval:
    """The median of how many times the other's value mine is, round by round.

    A slow spell of the machine is in both values of a round, and so hardly in their ratio. The
    interval is that of the sign test, which supposes nothing about how values are distributed
    (Conover, Practical Nonparametric Statistics, section 3.2); of less than six rounds, which are
    too few for 95 %, it is from the least to the largest.

    Args:
        mine: one value of each round.
        others: the other's of the same rounds, above zero.
    """
    found = sorted(one / other for one, other in zip(mine, others, strict=True))
    outside = _outside(len(found))
    return Interval(found[outside], statistics.median(found), found[len(found) - 1 - outside])


def _outside(count: int) -> int:
    """How many values on either side lie outside of the interval of the median."""
    chance = 0.0
    for number in range(count // 2 + 1):
        chance += math.comb(count, number) / 2**count
        if chance > (1 - _CONFIDENCE) / 2:
            return number
    return count // 2


def noise(null: Interval) -> float:
    """By what share two things that are the same have differed: the null comparison's far end."""
    return max(abs(1 - null.low), abs(null.high - 1))


def verdict(
    found: float | Interval,
    target: float,
    null: Interval | None,
    better: Literal["less", "more"],
) -> str:
    """Whether a target is kept, missed, or neither as far as this machine can tell.

    Args:
        found: what was measured; of an interval, the target has to be outside.
        target: what it has to be.
        null: the ratio of two things that are the same; None where noise plays no part, as where
            connects are counted.
        better: "less" if `found` may be at most `target`, "more" if it has to be at least that.
    """
    if isinstance(found, Interval):
        if found.low < target < found.high:
            return WITHIN_NOISE
        found = found.value
    share = 0.0 if null is None else noise(null)
    # By how much the target is exceeded, in targets; below zero if it is kept.
    excess = (found / target - 1) * (1 if better == "less" else -1)
    if abs(excess) < share:
        return WITHIN_NOISE
    return KEPT if excess <= 0 else MISSED


def worst(verdicts: Sequence[str]) -> str:
    """What several verdicts come to together."""
    return next((each for each in (MISSED, WITHIN_NOISE) if each in verdicts), KEPT)
