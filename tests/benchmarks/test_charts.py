"""The charts of the benchmarks are SVG, within their frames, whatever there is to show."""

from __future__ import annotations

from typing import Any

from charts_support import SVG, check_svg
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.lib import charts, measure

names = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1, max_size=12)
amounts = st.floats(1e-3, 1e7)
SERIES = st.sampled_from(
    ["plugin", "half", "unpaced", "boto3-recipe", "ideal", "<&>", "aws-wrapper"]
)


@given(
    title=names,
    groups=st.dictionaries(
        names, st.dictionaries(SERIES, amounts, min_size=1), min_size=1, max_size=9
    ),
    line=st.none() | st.tuples(amounts, names),
    log=st.booleans(),
)
def test_bars(title: str, groups: Any, line: Any, log: bool) -> None:
    """Whatever there is to show, and however it is called: SVG with its title, within its frame."""
    root = check_svg(charts.bars(title, charts.Axis("a & b <c>", log=log), groups, line=line))
    assert root.findtext(f"{SVG}title") == title
    shown = {text.text for text in root.iter(f"{SVG}text")}
    assert {*groups, *(name for group in groups.values() for name in group)} <= shown
    assert "a & b <c>" in shown


@given(
    series=st.dictionaries(
        names, st.lists(st.tuples(amounts, amounts), min_size=1), min_size=1, max_size=5
    ),
    log_x=st.booleans(),
    log_y=st.booleans(),
)
def test_lines(series: Any, log_x: bool, log_y: bool) -> None:
    """The same for lines; a larger value is further to the right, and higher up."""
    drawn = charts.lines("t", charts.Axis("x", log=log_x), charts.Axis("y", log=log_y), series)
    root = check_svg(drawn)
    for line, points in zip(root.iter(f"{SVG}polyline"), series.values(), strict=True):
        places = [tuple(map(float, pair.split(","))) for pair in line.get("points", "").split()]
        for (x, y), (left, top) in zip(points, places, strict=True):
            for (other_x, other_y), (other_left, other_top) in zip(points, places, strict=True):
                assert x < other_x or left >= other_left
                assert y < other_y or top <= other_top


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_percentile(values: list[float], share: float) -> None:
    """It is one of the values, and at least that share of them is not above it."""
    found = measure.percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) <= share * len(values)
