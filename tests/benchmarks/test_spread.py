"""How sure the numbers of the benchmarks are said to be."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.lib import spread

numbers = st.floats(1e-3, 1e6)


@given(st.lists(numbers, min_size=1))
def test_quartiles(values: list[float]) -> None:
    """About a quarter of the values is below the lower one, and above the upper one."""
    low, median, high = spread.quartiles(values)
    assert min(values) <= low <= median <= high <= max(values)
    assert 4 * sum(value < low for value in values) <= len(values) + 3
    assert 4 * sum(value > high for value in values) <= len(values) + 3
    assert spread.quartiles(values).times(2).median == 2 * median


@given(st.lists(st.tuples(numbers, numbers), min_size=1))
def test_a_ratio_is_that_of_rounds(rounds: list[tuple[float, float]]) -> None:
    """The value lies in its interval, and exchanging the two turns it round."""
    mine, others = zip(*rounds, strict=True)
    found, back = spread.ratio(mine, others), spread.ratio(others, mine)
    assert found.low <= found.value <= found.high
    assert back.low == pytest.approx(1 / found.high)
    assert back.high == pytest.approx(1 / found.low)


def test_the_interval_holds_the_true_ratio_as_often_as_it_says() -> None:
    """In nineteen experiments of twenty, whatever the noise is like; with few rounds in most."""
    source = random.Random(1)
    for rounds, least in ((5, 0.9), (60, 0.93)):
        hits = 0
        for _ in range(400):
            mine = [2 * source.paretovariate(1.5) for _ in range(rounds)]
            others = [source.paretovariate(1.5) for _ in range(rounds)]
            low, _, high = spread.ratio(mine, others)
            hits += low <= 2 <= high
        assert hits / 400 >= least


@pytest.mark.parametrize(
    ("found", "target", "better", "alone", "noisy"),
    [
        (0.80, 1.0, "less", "kept", "kept"),
        (0.95, 1.0, "less", "kept", "within noise"),
        (1.05, 1.0, "less", "MISSED", "within noise"),
        (1.20, 1.0, "less", "MISSED", "MISSED"),
        (1.20, 1.0, "more", "kept", "kept"),
        (1.05, 1.0, "more", "kept", "within noise"),
        (0.95, 1.0, "more", "MISSED", "within noise"),
        (0.80, 1.0, "more", "MISSED", "MISSED"),
        (10.0, 10.0, "less", "kept", "within noise"),
    ],
)
def test_a_target_is_kept_only_outside_of_the_noise(
    found: float, target: float, better: str, alone: str, noisy: str
) -> None:
    """What the same thing twice differs by decides nothing."""
    null = spread.Interval(0.9, 0.99, 1.02)
    assert spread.noise(null) == pytest.approx(0.1)
    assert spread.verdict(found, target, None, better) == alone  # type: ignore[arg-type]
    assert spread.verdict(found, target, null, better) == noisy  # type: ignore[arg-type]
    assert spread.worst(["kept", noisy, "kept"]) == noisy


@pytest.mark.parametrize(
    ("low", "high", "said"), [(0.5, 0.9, "kept"), (0.5, 1.1, "within noise"), (1.4, 1.5, "MISSED")]
)
def test_a_target_within_the_interval_is_neither_kept_nor_missed(
    low: float, high: float, said: str
) -> None:
    """Whatever the value in the middle is."""
    found = spread.Interval(low, (low + high) / 2, high)
    assert spread.verdict(found, 1.0, None, "less") == said
