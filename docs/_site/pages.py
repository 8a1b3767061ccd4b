"""The lists on the first page, from which the sidebar and each page's description are made.

The first page stays plain Markdown by that, and a page is described in one place.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx

_ENTRY = re.compile(r"^(?:<!-- )?- \[(.+?)\]\(([\w-]+)\.md\): (.+?)(?: -->)?$", re.MULTILINE)


class Entry(NamedTuple):
    """One entry of a list: the title in the sidebar, the page's name, its description."""

    title: str
    page: str
    description: str


def entries(text: str) -> list[Entry]:
    """The entries in a part of the first page."""
    return [Entry(*found) for found in _ENTRY.findall(text)]


def add_navigation(app: Sphinx, name: str, source: list[str]) -> None:
    """Make the sidebar of the lists.

    An entry in a comment is of a page that is still to come. It counts when the page is there.
    """
    if name != app.config.root_doc:
        return
    for section in source[0].split("\n## ")[1:]:
        caption, _, text = section.partition("\n")
        pages = [
            f"{entry.title} <{entry.page}>"
            for entry in entries(text)
            if Path(app.srcdir, f"{entry.page}.md").exists()
        ]
        block = "\n".join([":hidden:", f":caption: {caption}", "", *pages])
        source[0] += f"\n```{{toctree}}\n{block}\n```\n"


def add_lead(app: Sphinx, doctree: nodes.document) -> None:
    """Show a page's description below its title, where the search finds it, too."""
    entry = _described(app).get(app.env.current_document.docname)
    title = next(doctree.findall(nodes.title), None)
    if entry and title:
        text = f"{entry.description[0].upper()}{entry.description[1:]}."
        title.parent.insert(
            title.parent.index(title) + 1, nodes.paragraph("", text, classes=["lead"])
        )


def describe(
    app: Sphinx, name: str, _template: str, context: dict[str, Any], _doctree: object
) -> None:
    """Put a page's description where search engines and link previews look for it."""
    entry = _described(app).get(name)
    text = f"{entry.title}: {entry.description}" if entry else _summary(app)
    if entry or name == app.config.root_doc:
        plain = text.replace("`", "")
        context["metatags"] += f'<meta name="description" content="{escape(plain)}">'


def _first(app: Sphinx) -> str:
    return Path(app.srcdir, f"{app.config.root_doc}.md").read_text(encoding="utf-8")


def _described(app: Sphinx) -> dict[str, Entry]:
    return {entry.page: entry for entry in entries(_first(app))}


def _summary(app: Sphinx) -> str:
    return " ".join(_first(app).split("\n\n")[1].split())
