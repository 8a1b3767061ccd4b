"""What all charts have in common in Vega-Lite: frame, axes and colours, and how they are drawn.

Letters are measured in Liberation Sans, which vl-convert brings and whose letters are as wide as
those of Arial and Helvetica: so the picture depends on no font of the machine. Text stays text.
Colours are CSS variables, and the media feature "prefers-color-scheme" (Media Queries Level 5)
gives them other values in dark surroundings.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

_TITLE_CHARACTERS = 64
_FONT = "Liberation Sans, Arial, Helvetica, sans-serif"

_COLOURS = {
    "page": ("#ffffff", "#0d1117"),
    "ink": ("#1c2128", "#e6edf3"),
    "faint": ("#59636e", "#9aa4af"),
    "grid": ("#e3e6ea", "#2a313a"),
    "band": ("#f3ecd9", "#2b2718"),
    "lost": ("#c62828", "#ff8a80"),
    "plugin": ("#1f66d0", "#6ea8ff"),
    "plain": ("#8b929c", "#8b95a1"),
    "second": ("#1a8a5a", "#4fc894"),
    "third": ("#9a3fb5", "#d490ea"),
    "other": ("#cf6a00", "#ffa64d"),
    "fourth": ("#00838f", "#4dd0e1"),
    "fifth": ("#8d6e00", "#e0c050"),
}
"""By role, for light and dark."""


@dataclass(frozen=True)
class Axis:
    """What an axis says.

    Attributes:
        label: what it counts, with its unit.
        log: whether it is logarithmic.
        least: the least value that it shows at its far end.
        better: which values are the better ones; the title then ends with it.
    """

    label: str
    log: bool = False
    least: float = 0.0
    better: Literal["less", "more"] | None = None


def draw(chart: str) -> str:
    """A chart as SVG, with its title for those who do not see it, and colours for light and dark.

    Raises:
        ModuleNotFoundError: vl-convert-python is not installed; the extra "docs" brings it.
    """
    import vl_convert  # of the extra "docs", which measuring does not need

    spec = json.loads(chart)
    # Nothing is fetched, whatever a chart says.
    svg = str(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]))
    head, _, body = svg.partition(">")
    return (
        f'{head} role="img"><title>{escape(spec["description"])}</title>'
        f"<style>{_style()}</style>{body}\n"
    )


def whole(title: str, better: str | None, spec: dict[str, Any]) -> str:
    """A chart in Vega-Lite's JSON: `spec` with its title, in lines that fit, and the style."""
    said = title + (f" ({better} is better)" if better else "")
    # What belongs together stays in one line.
    together = said.replace(" is better)", "\N{NO-BREAK SPACE}is\N{NO-BREAK SPACE}better)")
    lines = [
        line.replace("\N{NO-BREAK SPACE}", " ")
        for line in textwrap.wrap(together, _TITLE_CHARACTERS)
    ]
    found = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "description": said,
        "title": lines or said,
        **spec,
        "config": _CONFIG,
    }
    return json.dumps(found, ensure_ascii=False)


def colour(role: str) -> str:
    """A colour by its role, as SVG takes it."""
    return f"var(--{role})"


def by(field: str) -> dict[str, Any]:
    """Colours that the data name themselves."""
    return {"color": {"field": field, "type": "nominal", "scale": None}}


def domain(axis: Axis, values: Sequence[float]) -> tuple[float, float]:
    """From where to where an axis goes."""
    top = max([*values, axis.least], default=1.0) or 1.0
    if not axis.log:
        return 0.0, top
    above = [value for value in values if value > 0] or [top]
    low = math.floor(math.log10(min(above) * 0.9))
    return 10.0**low, 10.0 ** max(math.ceil(math.log10(top)), low + 1)


def scale(axis: Axis, low: float, high: float) -> dict[str, Any]:
    """What Vega-Lite calls the scale of an axis."""
    return {
        "type": "log" if axis.log else "linear",
        "domain": [low, high],
        "nice": not axis.log,
        "zero": not axis.log,
    }


def ticks(axis: Axis, low: float, high: float) -> dict[str, Any]:
    """Where an axis has numbers: on a logarithmic one at the powers of ten."""
    if not axis.log:
        return {"format": ",~r", "tickCount": 6}
    powers = range(round(math.log10(low)), round(math.log10(high)) + 1)
    return {"format": ",~r", "values": [10.0**power for power in powers]}


_CONFIG = {
    "background": colour("page"),
    "font": _FONT,
    "padding": 16,
    "view": {"stroke": None},
    "title": {
        "anchor": "start",
        "frame": "bounds",
        "fontSize": 15,
        "lineHeight": 20,
        "offset": 14,
        "color": colour("ink"),
    },
    "text": {"color": colour("ink"), "fontSize": 12},
    "axis": {
        "labelColor": colour("ink"),
        "titleColor": colour("faint"),
        "titleFontWeight": "normal",
        "gridColor": colour("grid"),
        "domain": False,
        "ticks": False,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titlePadding": 10,
        "labelPadding": 6,
        "labelFlush": False,
        "labelLimit": 0,
        "titleLimit": 0,
    },
    "header": {
        "labelColor": colour("ink"),
        "labelFontSize": 12,
        "labelLimit": 0,
        # Room for letters that are wider than those that were measured.
        "labelPadding": 36,
    },
    "legend": {
        "labelColor": colour("ink"),
        "labelFontSize": 12,
        "labelLimit": 0,
        "symbolSize": 260,
        "symbolStrokeWidth": 3,
        "columnPadding": 24,
    },
}


def _style() -> str:
    def variables(dark: bool) -> str:
        return "".join(f"--{role}:{pair[dark]};" for role, pair in _COLOURS.items())

    return (
        f":root{{{variables(False)}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{variables(True)}}}}}"
    )
