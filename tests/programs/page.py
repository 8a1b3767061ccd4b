"""``docs/programs.md``: its table and its sections, from the jobs' metadata and their results."""

from __future__ import annotations

import re
import textwrap
from itertools import groupby
from pathlib import Path

from benchmarks.lib import measure
from programs import results
from programs.environments import ROOT
from programs.metadata import Program, programs
from programs.results import Result

PAGE = ROOT / "docs" / "programs.md"

_WIDTH = 118
_PART = r"(?s)(<!-- begin: {name} -->\n).*?(<!-- end: {name} -->)"
_FENCE = re.compile(r"(?m)^(?=```(?:python|ini)$)")
_MARK = "<!-- not run: the program is not installed here; make programs runs it -->\n"


def draw(page: Path = PAGE) -> None:
    """Write the page's generated parts."""
    page.write_text(drawn(page.read_text(encoding="utf-8")), encoding="utf-8")


def drawn(text: str) -> str:
    """The text of the page with its generated parts as they should be."""
    found = [(each, result) for each in programs() if (result := results.read(each.name))]
    for name, part in (("table", _table(found)), ("programs", _sections(found))):
        pattern = re.compile(_PART.format(name=name))
        text, count = pattern.subn(lambda match, part=part: f"{match[1]}{part}{match[2]}", text)
        if count != 1:
            raise ValueError(f"{PAGE}: expected one '<!-- begin: {name} -->' with its end")
    return text


def anchor(title: str) -> str:
    """What leads to a heading, as the repository's web view derives it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _table(found: list[tuple[Program, Result]]) -> str:
    rows = []
    for group, members in groupby(found, key=lambda pair: pair[0].group):
        for number, (program, result) in enumerate(members):
            rows.append(
                (
                    f"**{group}**" if number == 0 else "",
                    f"[{program.title}](#{anchor(program.title)}) {_own(program, result)}".strip(),
                    _verdict(program),
                    _listed({**result.drivers, "SQLAlchemy": result.sqlalchemy}),
                )
            )
    head = ("", "program", "works", "run with")
    return measure.table(head, rows) + "\n" if rows else "\n"


def _own(program: Program, result: Result) -> str:
    """The version of the program itself."""
    return result.packages[program.packages[0]]


def _verdict(program: Program) -> str:
    if not program.works:
        return "✗ no"
    return "◐ partly" if program.limits else "✓ yes"


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _sections(found: list[tuple[Program, Result]]) -> str:
    lines = []
    for group, members in groupby(found, key=lambda pair: pair[0].group):
        lines += ["", f"## {group}"]
        for program, result in members:
            lines += ["", f"### {program.title}"]
            if program.write:
                lines += ["", _marked(program.write)]
            if program.limits:
                what = "What does not work." if program.works else "Why it does not work."
                lines += ["", f"**{what}** {_marked(program.limits)}"]
            lines += ["", _run(program, result)]
    return "\n".join([*lines, "", ""])


def _run(program: Program, result: Result) -> str:
    versions = _listed(result.packages)
    did = program.about.rstrip(".")
    text = (
        f"**Run** on {result.date}, [{program.title}]({program.url}) with {versions}, "
        f"Python {result.python}: {did[0].lower()}{did[1:]}; {_logins(result)}."
    )
    return "\n".join(textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False))


def _logins(result: Result) -> str:
    before, after = result.logins["before"], result.logins["after"]
    return f"{before} login{'s' * (before != 1)} before the rollover, {after} after it"


def _marked(text: str) -> str:
    return _FENCE.sub(_MARK, text)
