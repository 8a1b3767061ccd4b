"""The charts of the benchmarks are SVG that says what it shows, the same for equal results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from charts_support import SVG, check_svg, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.lib import charts, measure, vega

pytest.importorskip("vl_convert", reason="needs the extra docs")

ROOT = Path(__file__).parents[2]
names = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12
)
amounts = st.floats(1e-3, 1e7)
WAYS = st.sampled_from(["plugin", "half", "unpaced", "boto3-recipe", "ideal", "<&>", "aws-wrapper"])
values = amounts | st.builds(charts.Bar, amounts, amounts, amounts, amounts)
better = st.sampled_from(["less", "more", None])
few = settings(deadline=None, max_examples=10)


@few
@given(
    title=names,
    groups=st.dictionaries(
        names, st.dictionaries(WAYS, values, min_size=1), min_size=1, max_size=9
    ),
    line=st.none() | st.tuples(amounts, names),
    log=st.booleans(),
    better=better,
)
def test_bars(title: str, groups: Any, line: Any, log: bool, better: Any) -> None:
    """Whatever there is to show: its title, which way is better, every name, what was lost."""
    axis = charts.Axis("a & b <c>", log=log, better=better)
    drawn = vega.draw(charts.bars(title, axis, groups, line=line))
    root = check_svg(drawn)
    whole = f"{title} ({better} is better)" if better else title
    assert root.findtext(f"{SVG}title") == whole
    shown = texts(root)
    assert {whole, *(name for group in groups.values() for name in group)} <= shown
    assert {*groups} <= shown or len(groups) == 1
    assert "a & b <c>" + (f"; dashed: {line[1]}" if line else "") in shown
    lost = [bar for group in groups.values() for bar in group.values() if not _is_number(bar)]
    assert sum(text.endswith(" lost") for text in _all_texts(root)) == len(lost)
    assert drawn == vega.draw(charts.bars(title, axis, groups, line=line))


@few
@given(
    series=st.dictionaries(
        names, st.lists(st.tuples(amounts, amounts), min_size=1), min_size=1, max_size=5
    ),
    log_x=st.booleans(),
    log_y=st.booleans(),
    better=better,
)
def test_lines(series: Any, log_x: bool, log_y: bool, better: Any) -> None:
    """The same for lines, with what is to be said where one ends."""
    notes = dict.fromkeys(list(series)[:1], "603 lost")
    axes = charts.Axis("x", log=log_x), charts.Axis("y", log=log_y, better=better)
    drawn = vega.draw(charts.lines("t", *axes, series, bands=[(0.5, 2, "now")], notes=notes))
    assert {*series, "x", "y", "603 lost"} <= texts(check_svg(drawn))


def test_more_is_further() -> None:
    """A bar twice as long is twice as large, and what was lost goes on from there, in red."""
    groups = {"one": {"plugin": 10.0, "static": charts.Bar(20.0, lost=5.0)}}
    root = check_svg(vega.draw(charts.bars("t", charts.Axis("x"), groups)))
    found = {}
    for path in root.iter(f"{SVG}path"):
        if path.get("aria-roledescription") == "bar":
            left, width = path.get("d", "").removeprefix("M").split("h")[:2]
            found[path.get("fill"), float(width.partition("v")[0])] = float(left.split(",")[0])
    widths = {colour: (width, left) for (colour, width), left in found.items() if width}
    (plugin, _), (static, start), (lost, goes_on) = (
        widths[f"var(--{role})"] for role in ("plugin", "plain", "lost")
    )
    assert static == pytest.approx(2 * plugin)
    assert lost == pytest.approx(static / 4)
    assert goes_on == pytest.approx(start + static)


def test_another_process_draws_the_same() -> None:
    """Byte by byte, with whatever order a process has sets and dicts in."""
    code = (
        "from benchmarks.lib import charts, vega;"
        "line = {'b': [(1, 2), (3, 4)], 'a': [(1, 2), (3, 4)], 'plugin': [(1, 1)]};"
        "groups = {'x': {'plugin': charts.Bar(1, 0.5, 2, 1)}, 'y': {'static': 2}};"
        "print(vega.draw(charts.lines('t', charts.Axis('x'), charts.Axis('y', log=True), line)));"
        "print(vega.draw(charts.bars('t', charts.Axis('x'), groups, line=(1, 'm'))))"
    )
    one, other = (
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "LC_ALL": place, "TZ": "Asia/Tokyo"},
            capture_output=True,
            check=True,
            timeout=120,
        ).stdout
        for seed, place in (("1", "C"), ("2", "C.UTF-8"))
    )
    assert len(one) > 5000
    assert one == other


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_percentile(values: list[float], share: float) -> None:
    """It is one of the values, and at least that share of them is not above it."""
    found = measure.percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) <= share * len(values)


def _is_number(value: Any) -> bool:
    return isinstance(value, float)


def _all_texts(root: Any) -> list[str]:
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
