"""What every chart of the benchmarks has."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"


def check_svg(text: str) -> ET.Element:
    """Parse a chart and look at what every one has, and has not; its root."""
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title")
    assert "prefers-color-scheme:dark" in (root.findtext(f"{SVG}style") or "")
    # Nothing that runs, nothing that is fetched, and no colour that a dark page could not change.
    kinds = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert kinds <= {"svg", "title", "style", "rect", "g", "path", "line", "text", "tspan", *_CLIP}
    for element in root.iter():
        assert not any("href" in name or name.startswith("on") for name in element.attrib)
        for name in ("fill", "stroke"):
            value = element.get(name, "none")
            assert value in {"none", "transparent"} or value.startswith("var(--"), (name, value)
        places = " ".join(element.get(name, "") for name in ("d", "transform", "style", "x2", "y2"))
        assert not re.search(r"url\(|NaN|Infinity|undefined", places)
    assert not re.search(r"url|import|font-face|http", root.findtext(f"{SVG}style") or "")
    return root


_CLIP = {"defs", "clipPath"}


def texts(root: ET.Element) -> set[str]:
    """All that a chart says."""
    return {"".join(text.itertext()) for text in root.iter(f"{SVG}text")}
