"""What every chart of the benchmarks has."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"


def check_svg(text: str) -> ET.Element:
    """Parse a chart and look at what every one has; its root."""
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert root.findtext(f"{SVG}title")
    assert "prefers-color-scheme:dark" in (root.findtext(f"{SVG}style") or "")
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    for element in root.iter():
        for name, limit in (("x", width), ("x1", width), ("x2", width), ("y", height)):
            if name in element.attrib:
                assert math.isfinite(value := float(element.attrib[name]))
                assert -1 <= value <= limit + 1, ET.tostring(element)
        for number in re.findall(r"[-\d.]+", element.attrib.get("points", "")):
            assert -1 <= float(number) <= max(width, height) + 1
    return root
