"""Rows of tables that a search finds as such: options by name, messages by their text.

Sphinx's search knows pages and headings. Without this, an option's name finds every page that
mentions it, in alphabetical order, and an error's text the pages that have all of its words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

_NAME = re.compile(r"[a-zA-Z][\w.:-]{4,}|\d{4}")
"""Of an option, or the number of an error, which Sphinx's search of the text leaves out."""
_OTHERS = (
    "api",
    "architecture",
    "benchmarks",
    "comparison",
    "contributing",
    "from-others",
    "proof",
)
"""Pages whose tables are not what a search is for."""

_FEWEST = 8
"""Letters without which a piece of a message finds anything."""


class SearchEntries(SphinxTransform):
    """Make an index entry of each name and message that begins a row, and the row its target."""

    default_priority = 500  # before Sphinx collects the entries

    def apply(self, **_: object) -> None:
        """Look at every row."""
        if self.env.current_document.docname in _OTHERS:
            return
        known: set[str] = set()  # the first row explains a name
        for row in list(self.document.findall(nodes.row)):
            texts = [text for text in dict.fromkeys(_texts(row)) if text not in known]
            known.update(texts)
            if not texts:
                continue
            # The search uses the target as a CSS selector, in which dots would not do.
            target = f"row-{nodes.make_id(texts[0])[:60]}"
            while target in self.document.ids:
                target += "-"
            row["ids"].append(target)
            self.document.note_explicit_target(row)
            found = [("single", text.replace(";", ","), target, "main", None) for text in texts]
            row.children[0].insert(0, addnodes.index(entries=found))


def _texts(row: nodes.row) -> Iterator[str]:
    """A name; a message, and what of it stays the same."""
    for cell in row.children[:2]:
        for literal in cell.findall(nodes.literal):
            text = literal.astext()
            if _NAME.fullmatch(text):
                yield text
            elif sum(map(str.isalpha, text)) >= _FEWEST and " " in text:
                yield text
                for piece in text.split("…"):
                    if sum(map(str.isalpha, piece)) >= _FEWEST:
                        yield piece.strip(" .,:;()'\"")
        # Of two cells the first may be the level of a record in the log, or an error's number.
        if not re.fullmatch(r"[A-Z]+|[\d, \u2013]+", cell.astext()):
            return
