"""Puts the tables that were saved into the documents, between the markers that name them.

A document says where a table goes: `<!-- results: storm -->` is followed by what ``storm.py`` has
saved, up to `<!-- end of results -->`. "machine" stands for the machine and the versions.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from benchmarks.lib import measure

_PLACE = re.compile(r"<!-- results: (\w+) -->\n.*?<!-- end of results -->", re.DOTALL)


def refresh(document: Path, results: Path) -> None:
    """Write the tables that are among `results` into a document; others stay as they are.

    Args:
        document: Markdown.
        results: the directory they were saved to.
    """
    text = document.read_text(encoding="utf-8")
    document.write_text(_PLACE.sub(lambda place: _filled(place, results), text), encoding="utf-8")


def _filled(place: re.Match[str], results: Path) -> str:
    name = place[1]
    if name == "machine":
        newest = max(results.glob("*.json"), key=lambda file: file.stat().st_mtime, default=None)
        found = newest and measure.machine(json.loads(newest.read_text(encoding="utf-8"))["facts"])
    else:
        file = results / f"{name}.md"
        found = file.read_text(encoding="utf-8") if file.exists() else None
    if not found:
        return place[0]
    return f"<!-- results: {name} -->\n\n{found.strip()}\n\n<!-- end of results -->"
