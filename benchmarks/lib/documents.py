"""Puts what was saved into the documents, between the markers that name it.

A document says where a table goes: `<!-- results: storm -->` is followed by what ``storm.py`` has
saved, up to `<!-- end of results -->`. Three names stand for what is made of all results: "summary"
for ten of them in a line each, "machine" for day, commit, machine and versions, and "everything"
for how long each took and whether its targets are met.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.lib import facts, measure

LINES = 10
"""In the summary."""

_PLACE = re.compile(r"<!-- results: (\w+) -->\n.*?<!-- end of results -->", re.DOTALL)
_HEADING = r"^#+ (.*`{name}\.py`.*)$"

Results = dict[str, dict[str, Any]]


def load(directory: Path, names: Sequence[str]) -> Results:
    """The results that were saved, in the order of `names`."""
    files = [directory / f"{name}.json" for name in names]
    return {
        file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files if file.exists()
    }


def redraw(directory: Path, names: Sequence[str]) -> None:
    """Make tables and charts again of the results that were saved, without measuring anything."""
    for name, results in load(directory, names).items():
        suite = importlib.import_module(f"benchmarks.suite.{name}")
        try:
            said = results | {"headline": suite.headline(results)}
            text, charts = suite.text(results), suite.pictures(results)
        except (AttributeError, LookupError) as error:
            measure.progress(f"{name}: of an older form, {error!r} is missing: measure it again")
            continue
        (directory / f"{name}.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
        (directory / f"{name}.md").write_text(text + "\n", encoding="utf-8")
        for file in directory.glob(f"{name}*.svg"):
            if re.fullmatch(rf"{name}(-.+)?", file.stem) and file.stem not in charts:
                file.unlink()
        measure.draw(charts, directory)


def refresh(document: Path, directory: Path, names: Sequence[str]) -> None:
    """Write what was saved into a document; what is not there stays as it is.

    Args:
        document: Markdown.
        directory: where the results were saved.
        names: of the benchmarks, the most telling ones first.
    """
    text = document.read_text(encoding="utf-8")
    results = load(directory, names)

    def filled(place: re.Match[str]) -> str:
        name = place[1]
        if name == "summary":
            found = _summary(results, text)
        elif name == "machine":
            found = _machine(results)
        elif name == "everything":
            found = _everything(results)
        else:
            file = directory / f"{name}.md"
            found = file.read_text(encoding="utf-8") if file.exists() else ""
        found = found.strip() or "Not measured yet."
        return f"<!-- results: {name} -->\n\n{found}\n\n<!-- end of results -->"

    document.write_text(
        _PLACE.sub(lambda place: filled(place) if results else place[0], text), encoding="utf-8"
    )


def verdict(results: dict[str, Any]) -> str:
    """What became of a benchmark's targets."""
    return "all targets met" if results["within_target"] else "a target MISSED"


def _summary(results: Results, document: str) -> str:
    said = [
        f"- {each['headline']} ([numbers]({_anchor(name, document)})"
        + ("" if each["within_target"] else "; a target is missed")
        + ")."
        for name, each in results.items()
        if "headline" in each
    ]
    return "\n".join(said[:LINES])


def _anchor(name: str, document: str) -> str:
    """Where a document's chapter on a benchmark is, as GitHub and MyST name headings."""
    heading = re.search(_HEADING.format(name=name), document, re.MULTILINE)
    if heading is None:
        return f"#{name}"
    return "#" + re.sub(r"[^\w\- ]", "", heading[1].lower()).replace(" ", "-")


def _machine(results: Results) -> str:
    ways: dict[str, list[str]] = {}
    for name, each in results.items():
        ways.setdefault(facts.said(each["facts"]), []).append(name)
    if len(ways) == 1:
        return next(iter(ways))
    return "\n\n".join(f"{', '.join(names)}: {said}" for said, names in ways.items())


def _everything(results: Results) -> str:
    rows = [
        (name, f"{each['facts'].get('seconds', 0)}", verdict(each))
        for name, each in results.items()
    ]
    seconds = sum(int(row[1]) for row in rows)
    return measure.table(("benchmark", "seconds", "verdict"), [*rows, ("all", f"{seconds}", "")])
