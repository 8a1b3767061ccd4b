"""Charts of the results as SVG: bars and lines, with a title, axes and units.

Each brings its own background, and colours for a light and for a dark surrounding (the media
feature "prefers-color-scheme", Media Queries Level 5), so that it is readable wherever it is shown.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 760
_LEFT, _RIGHT, _TOP, _BOTTOM = 150, 70, 78, 48
_BAR, _GAP = 15, 12
_PLOT_HEIGHT = 280
_TICKS = 6
_CHARACTER = 7.0

_COLOURS = {
    "plugin": ("#1f66d0", "#6ea8ff"),
    "plain": ("#7a818c", "#9aa3b0"),
    "other": ("#cf6a00", "#ffa64d"),
    "second": ("#1a8a5a", "#4fc894"),
    "third": ("#9a3fb5", "#d490ea"),
    "fourth": ("#b3261e", "#ff8a80"),
}
"""By role, for light and dark: this project, the baseline, what others do, and further ones."""

_ROLES = {
    "plugin": "plugin",
    "plugin-aiobotocore": "plugin",
    "plugin-botocore": "second",
    "static": "plain",
    "ideal": "plain",
    "plain": "plain",
    "no-aws": "plain",
    "boto3-recipe": "other",
    "ssl_ca": "other",
    "botocore": "other",
    "boto3": "third",
    "unpaced": "second",
    "half": "third",
    "nothing": "other",
    "congestion control": "plugin",
    "fixed split": "third",
    "shared store": "second",
    "store killed": "fourth",
    "possible": "plain",
    "aws-wrapper": "fourth",
    "simplest": "third",
}


@dataclass(frozen=True)
class Axis:
    """What an axis says.

    Attributes:
        label: what it counts, with its unit.
        log: whether it is logarithmic; values then have to be above zero.
        least: the least value that it shows at its far end.
    """

    label: str
    log: bool = False
    least: float = 0.0


def bars(
    title: str,
    axis: Axis,
    groups: Mapping[str, Mapping[str, float]],
    *,
    line: tuple[float, str] | None = None,
) -> str:
    """Horizontal bars, with their values at their ends.

    Args:
        title: of the chart.
        axis: of the values.
        groups: the value of each series, by group.
        line: a value to mark across all groups, and its name.
    """
    series = list(dict.fromkeys(name for values in groups.values() for name in values))
    values = [value for group in groups.values() for value in group.values()]
    scale = _Scale(axis, [*values, *([line[0]] if line else [])], _LEFT, WIDTH - _RIGHT)
    height = sum(len(group) * _BAR + _GAP for group in groups.values()) + _GAP
    parts = [*_vertical_grid(scale, height)]
    if line:
        x = scale(line[0])
        parts.append(_stroke("mark", x, _TOP, x, _TOP + height))
        parts.append(_text(x, _TOP - 5, line[1], anchor="middle", kind="value"))
    y = float(_TOP + _GAP)
    for name, group in groups.items():
        middle = y + len(group) * _BAR / 2
        parts.append(_text(_LEFT - 8, middle + 4, name, anchor="end"))
        for which, value in group.items():
            end = max(scale(value), _LEFT + 1)
            parts.append(
                f'<rect class="{_role(which, series)}" x="{_LEFT}" y="{y + 1:.1f}" '
                f'width="{end - _LEFT:.1f}" height="{_BAR - 2}" rx="2"/>'
            )
            parts.append(_text(end + 4, y + _BAR - 4, _number(value), kind="value"))
            y += _BAR
        y += _GAP
    parts.append(_text((_LEFT + WIDTH - _RIGHT) / 2, _TOP + height + 36, axis.label, "middle"))
    return _document(title, _TOP + height + _BOTTOM, _legend(series), parts)


def lines(
    title: str,
    x_axis: Axis,
    y_axis: Axis,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    bands: Sequence[tuple[float, float, str]] = (),
) -> str:
    """One line through the points of each series.

    Args:
        title: of the chart.
        x_axis: from left to right.
        y_axis: from bottom to top.
        series: points by name.
        bands: spans of x to be shaded, with what they are.
    """
    points = [point for line in series.values() for point in line]
    x_scale = _Scale(x_axis, [x for x, _ in points], _LEFT, WIDTH - _RIGHT)
    y_scale = _Scale(y_axis, [y for _, y in points], _TOP + _PLOT_HEIGHT, _TOP)
    parts = []
    for begin, end, name in bands:
        left, right = x_scale(begin), x_scale(end)
        parts.append(
            f'<rect class="band" x="{left:.1f}" y="{_TOP}" width="{max(right - left, 1):.1f}" '
            f'height="{_PLOT_HEIGHT}"/>'
        )
        parts.append(_text((left + right) / 2, _TOP - 5, name, "middle", "value"))
    parts += _vertical_grid(x_scale, _PLOT_HEIGHT)
    for value in y_scale.ticks:
        y = y_scale(value)
        parts.append(_stroke("grid", _LEFT, y, WIDTH - _RIGHT, y))
        parts.append(_text(_LEFT - 8, y + 4, _number(value), "end", "value"))
    names = list(series)
    drawn: Counter[str] = Counter()
    for name, line in series.items():
        path = " ".join(f"{x_scale(x):.1f},{y_scale(y):.1f}" for x, y in line)
        # One that lies on another lets it show through.
        dashes = f' stroke-dasharray="9 {9 * drawn[path]}"' if drawn[path] else ""
        drawn[path] += 1
        parts.append(f'<polyline class="line {_role(name, names)}"{dashes} points="{path}"/>')
        # Where it ends is what there is to know of some.
        last_x, last_y = line[-1]
        parts.append(
            f'<circle class="{_role(name, names)}" cx="{x_scale(last_x):.1f}" '
            f'cy="{y_scale(last_y):.1f}" r="3"/>'
        )
    middle = _TOP + _PLOT_HEIGHT / 2
    parts.append(
        f'<text class="label" text-anchor="middle" transform="translate(90 {middle:.1f}) '
        f'rotate(-90)">{escape(y_axis.label)}</text>'
    )
    bottom = _TOP + _PLOT_HEIGHT + 36
    parts.append(_text((_LEFT + WIDTH - _RIGHT) / 2, bottom, x_axis.label, "middle"))
    return _document(title, _TOP + _PLOT_HEIGHT + _BOTTOM, _legend(names), parts)


class _Scale:
    """From values to pixels."""

    def __init__(self, axis: Axis, values: Sequence[float], start: float, end: float) -> None:
        self._log = axis.log
        self._start, self._end = start, end
        top = max([*values, axis.least], default=1.0) or 1.0
        if axis.log:
            low = math.floor(math.log10(min(value for value in values if value > 0)))
            high = max(math.ceil(math.log10(top)), low + 1)
            self._low, self._high = float(low), float(high)
            self.ticks = [10.0**power for power in range(low, high + 1)]
            return
        step = _step(top / _TICKS)
        self._low, self._high = 0.0, math.ceil(top / step - 1e-9) * step
        self.ticks = [step * i for i in range(round(self._high / step) + 1)]

    def __call__(self, value: float) -> float:
        at = math.log10(max(value, 10.0**self._low)) if self._log else value
        share = (at - self._low) / (self._high - self._low)
        return self._start + share * (self._end - self._start)


def _step(least: float) -> float:
    """The next of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least - 1e-12)


def _vertical_grid(scale: _Scale, height: float) -> list[str]:
    parts = []
    for value in scale.ticks:
        x = scale(value)
        parts.append(_stroke("grid", x, _TOP, x, _TOP + height))
        parts.append(_text(x, _TOP + height + 16, _number(value), "middle", "value"))
    return parts


def _legend(series: Sequence[str]) -> list[str]:
    parts, x = [], 16.0
    for name in series:
        parts.append(
            f'<rect class="{_role(name, series)}" x="{x:.0f}" y="44" width="12" height="12" '
            'rx="2"/>'
        )
        parts.append(_text(x + 17, 54, name))
        x += 17 + len(name) * _CHARACTER + 18
    return parts


def _role(name: str, series: Sequence[str]) -> str:
    if name in _ROLES:
        return _ROLES[name]
    # Those without a colour of their own take what the others leave, in their order.
    taken = {_ROLES[each] for each in series if each in _ROLES}
    free = [role for role in _COLOURS if role not in taken] or list(_COLOURS)
    others = [each for each in series if each not in _ROLES]
    return free[others.index(name) % len(free)]


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "label") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _stroke(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _number(value: float) -> str:
    if value and abs(value) < 10:  # noqa: PLR2004 - two digits are enough from there on
        return f"{value:.2g}"
    return f"{value:,.0f}"


def _style() -> str:
    def rules(dark: int) -> str:
        colours = "".join(
            f".{role}{{fill:{pair[dark]}}}.line.{role}{{stroke:{pair[dark]}}}"
            for role, pair in _COLOURS.items()
        )
        page, ink, faint, grid, band = (
            ("#ffffff", "#1c2128", "#59636e", "#e3e6ea", "#f3ecd9"),
            ("#0d1117", "#e6edf3", "#9aa4af", "#2a313a", "#2b2718"),
        )[dark]
        return (
            f".page{{fill:{page}}}.band{{fill:{band}}}text{{fill:{ink}}}"
            # A halo, as what is behind a number may be a line.
            f".value{{fill:{faint};paint-order:stroke;stroke:{page};stroke-width:3px}}"
            f".grid{{stroke:{grid}}}.mark{{stroke:{ink}}}{colours}.line{{fill:none}}"
        )

    return (
        "text{font:12px system-ui,-apple-system,Segoe UI,Helvetica,Arial,sans-serif}"
        "text.value{font-size:11px}text.title{font-size:15px;font-weight:600}"
        ".line{stroke-width:2;stroke-linejoin:round}.mark{stroke-dasharray:4 3}"
        f"{rules(0)}@media (prefers-color-scheme:dark){{{rules(1)}}}"
    )


def _document(title: str, height: float, legend: list[str], parts: list[str]) -> str:
    body = "\n".join(
        (
            f"<title>{escape(title)}</title>",
            f"<style>{_style()}</style>",
            f'<rect class="page" width="{WIDTH}" height="{height:.0f}"/>',
            _text(16, 26, title, kind="title"),
            *legend,
            *parts,
        )
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'width="{WIDTH}" height="{height:.0f}" role="img">\n{body}\n</svg>\n'
    )
