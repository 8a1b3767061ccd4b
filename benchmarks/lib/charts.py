"""Charts of the results: Vega-Lite drawn by vl-convert, as SVG that is the same for equal results.

All that a benchmark calls:

    charts.bars(title, axis, groups, line=(value, name))     horizontal bars, each with its name
    charts.lines(title, x_axis, y_axis, series, bands=…, notes=…)
    charts.Axis(label, log=…, least=…, better="less" | "more")
    charts.Bar(value, low, high, lost)                       a bar with quartiles and lost connects

The title says the result in words, with the number: "A connect takes 0.43 of the best peer's CPU".
Which way is better, where the axis says it, is added in brackets. Both functions return the chart
in Vega-Lite's own JSON; `measure.report(charts={name: chart})` draws it where ``--save`` says.
Without the library, which is in the extra "docs", results are saved all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.lib import vega
from benchmarks.lib.vega import Axis

_WIDTH, _HEIGHT, _BAR = 560, 270, 17
__all__ = ["Axis", "Bar", "bars", "lines"]

_ROLES = {
    "plugin": "plugin",
    "congestion control": "plugin",
    "unavoidable": "plain",
    "ideal": "plain",
    "any": "other",
    "boto3-recipe": "other",
    "nothing": "other",
    "half": "second",
    "shared store": "second",
    "fixed split": "third",
    "unpaced": "third",
}
"""The role of a line by its name; others take what those leave, in their order."""

_OWN = ("plugin", "half", "unpaced", "congestion control", "shared store", "store killed")
"""How the names of this project's own bars begin; the others are grey."""


class Bar(NamedTuple):
    """A value that is more than a number.

    Attributes:
        value: how long the bar is.
        low: its lower quartile.
        high: its upper quartile.
        lost: what was lost for it, in the axis's unit: a red bar that goes on from there.
    """

    value: float
    low: float | None = None
    high: float | None = None
    lost: float = 0.0


def bars(
    title: str,
    axis: Axis,
    groups: Mapping[str, Mapping[str, float | Bar]],
    *,
    line: tuple[float, str] | None = None,
) -> str:
    """Horizontal bars with their names before them and their values behind them.

    Args:
        title: the result in words, with its number.
        axis: of the values.
        groups: the value of each way, by group; a `Bar` has quartiles and lost connects, too.
        line: a value to mark across all groups, and its name.
    """
    found = [
        (group, way, each if isinstance(each, Bar) else Bar(each))
        for group, ways in groups.items()
        for way, each in ways.items()
    ]
    ends = [max(bar.value + bar.lost, bar.high or 0.0) for *_, bar in found]
    low, high = vega.domain(axis, [*(bar.value for *_, bar in found), *ends, *_value_of(line)])
    rows = [
        {
            "group": group,
            "way": way,
            "colour": vega.colour("plugin" if way.startswith(_OWN) else "plain"),
            "text": _number(bar.value) + (f", {_number(bar.lost)} lost" if bar.lost else ""),
            "text_colour": vega.colour("lost" if bar.lost else "ink"),
            "start": low,
            "value": max(bar.value, low),
            "with_lost": max(bar.value + bar.lost, low),
            "low": bar.low,
            "high": bar.high,
            "end": max(end, low),
        }
        for (group, way, bar), end in zip(found, ends, strict=True)
    ]
    label = axis.label + (f"; dashed: {line[1]}" if line else "")
    x_axis = {"title": label, **vega.ticks(axis, low, high)}
    x = {
        "field": "value",
        "type": "quantitative",
        "axis": x_axis,
        "scale": vega.scale(axis, low, high),
    }
    layer: list[dict[str, Any]] = [
        {
            "mark": "bar",
            "encoding": {
                "x": x | {"field": "start"},
                "x2": {"field": "value"},
                **vega.by("colour"),
            },
        },
        {
            "mark": {"type": "bar", "color": vega.colour("lost")},
            "encoding": {"x": x, "x2": {"field": "with_lost"}},
        },
        {
            "mark": {"type": "rule", "color": vega.colour("ink")},
            "transform": [{"filter": "datum.low !== null && datum.high !== null"}],
            "encoding": {"x": x | {"field": "low"}, "x2": {"field": "high"}},
        },
        {
            "mark": {"type": "text", "align": "left", "dx": 5},
            "encoding": {
                "x": x | {"field": "end"},
                "text": {"field": "text"},
                **vega.by("text_colour"),
            },
        },
    ]
    if line:
        layer.append(
            {
                "mark": {"type": "rule", "color": vega.colour("ink"), "strokeDash": [4, 3]},
                "encoding": {"x": x | {"field": "mark"}, "y": None},
                "data": {"values": [{"mark": line[0]}]},
            }
        )
    way = {"field": "way", "type": "nominal", "sort": None, "axis": {"title": None}}
    header = {"title": None, "labelAngle": 0, "labelAlign": "left", "labelFontWeight": "bold"}
    return vega.whole(
        title,
        axis.better,
        {
            "data": {"values": rows},
            "facet": {
                "row": {
                    "field": "group",
                    "type": "nominal",
                    "sort": list(groups),
                    "header": header if len(groups) > 1 else None,
                }
            },
            "resolve": {"scale": {"y": "independent"}},
            "spacing": 8,
            "spec": {
                "width": _WIDTH,
                "height": {"step": _BAR},
                "encoding": {"y": way},
                "layer": layer,
            },
        },
    )


def lines(
    title: str,
    x_axis: Axis,
    y_axis: Axis,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    bands: Sequence[tuple[float, float, str]] = (),
    notes: Mapping[str, str] | None = None,
) -> str:
    """One line through the points of each series.

    Args:
        title: the result in words, with its number.
        x_axis: from left to right.
        y_axis: from bottom to top.
        series: points by name.
        bands: spans of x to be shaded, with what they are.
        notes: what is to be said where a series ends, by its name, such as "603 lost".
    """
    names = list(series)
    points = [(name, *point) for name in names for point in series[name]]
    left, right = vega.domain(x_axis, [x for _, x, _ in points])
    bottom, top = vega.domain(y_axis, [y for *_, y in points])
    x = {
        "field": "x",
        "type": "quantitative",
        "axis": {"title": x_axis.label, **vega.ticks(x_axis, left, right)},
        "scale": vega.scale(x_axis, left, right),
    }
    y = {
        "field": "y",
        "type": "quantitative",
        "axis": {"title": y_axis.label, **vega.ticks(y_axis, bottom, top)},
        "scale": vega.scale(y_axis, bottom, top),
    }
    drawn: Counter[tuple[tuple[float, float], ...]] = Counter()
    dashes = []
    for name in names:
        # One that lies on another lets it show through.
        path = tuple((x_, y_) for x_, y_ in series[name])
        dashes.append([9, 9 * drawn[path]])
        drawn[path] += 1
    colours = [vega.colour(_role(name, names)) for name in names]
    which = {"field": "name", "type": "nominal", "scale": {"domain": names, "range": colours}}
    ends = [
        {
            "x": max(series[name][-1][0], left),
            "y": max(series[name][-1][1], bottom),
            "name": name,
            "text": (notes or {}).get(name, ""),
        }
        for name in names
    ]
    shaded = [
        {"from": max(begin, left), "to": min(end, right), "text": text}
        for begin, end, text in bands
    ]
    layer: list[dict[str, Any]] = [
        {
            "data": {"values": shaded},
            "mark": {"type": "rect", "color": vega.colour("band")},
            "encoding": {"x": x | {"field": "from"}, "x2": {"field": "to"}},
        },
        {
            "data": {"values": shaded},
            "mark": {"type": "text", "align": "left", "baseline": "top", "dx": 4, "y": 4},
            "encoding": {"x": x | {"field": "from"}, "text": {"field": "text"}},
        },
        {
            "mark": {"type": "line", "strokeWidth": 2.5, "strokeJoin": "round"},
            "encoding": {
                "color": which
                | {"legend": {"title": None, "orient": "top", "symbolType": "stroke"}},
                "strokeDash": which | {"scale": {"domain": names, "range": dashes}},
                "x": x,
                "y": y,
                "order": {"field": "order"},
            },
        },
        {
            # Where it ends is what there is to know of some.
            "data": {"values": ends},
            "mark": {"type": "point", "filled": True, "size": 40, "opacity": 1},
            "encoding": {"x": x, "y": y, "color": which},
        },
        {
            "data": {"values": ends},
            "mark": {
                "type": "text",
                "align": "right",
                "dx": -6,
                "dy": -9,
                "color": vega.colour("lost"),
            },
            "encoding": {"x": x, "y": y, "text": {"field": "text"}},
        },
    ]
    values = [
        {"name": name, "x": max(x_, left), "y": max(y_, bottom), "order": order}
        for order, (name, x_, y_) in enumerate(points)
    ]
    return vega.whole(
        title,
        y_axis.better,
        {"width": _WIDTH, "height": _HEIGHT, "data": {"values": values}, "layer": layer},
    )


def _role(name: str, names: Sequence[str]) -> str:
    if name in _ROLES:
        return _ROLES[name]
    taken = {_ROLES[each] for each in names if each in _ROLES}
    lines_ = ("plugin", "other", "second", "third", "fourth", "fifth", "plain")
    free = [role for role in lines_ if role not in taken] or list(lines_)
    others = [each for each in names if each not in _ROLES]
    return free[others.index(name) % len(free)]


def _value_of(line: tuple[float, str] | None) -> Iterable[float]:
    return () if line is None else (line[0],)


def _number(value: float) -> str:
    if value and abs(value) < 10:  # noqa: PLR2004 - two digits are enough from there on
        return f"{value:#.2g}"
    return f"{value:,.0f}"
