"""The built documentation, and its search, run as a browser runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from docs_support import ROOT
from py_mini_racer import MiniRacer

# What searchtools.js needs of a browser before a result is shown.
_BROWSER = """
var window = this;
window.location = {search: ""};
class URLSearchParams {
  constructor(query) { this.query = query; }
  get() { return this.query; }
}
var document = {getElementById: () => null};
var SPHINX_HIGHLIGHT_ENABLED = false;
var _ = text => text;
var _ready = () => null;
"""
_SEARCH = """
window.location.search = QUERY;
JSON.stringify(Search._performSearch(...Search._parseQuery(QUERY)).reverse())
"""


class Result(NamedTuple):
    """One result of a search: the page, its title, and the anchor that the link leads to."""

    page: str
    title: str
    anchor: str


class Site:
    """The documentation as HTML.

    Attributes:
        directory: where it was built.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        # As strictly as by `make docs`: what warns is an error, after all of it was said.
        build = ["sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
        command = [sys.executable, "-m", *build, str(ROOT / "docs"), str(directory)]
        subprocess.run(command, check=True, timeout=600)
        self._context = MiniRacer()
        self._context.eval(_BROWSER)
        for name in ("_static/language_data.js", "_static/searchtools.js", "searchindex.js"):
            self._context.eval((directory / name).read_text())

    def search(self, words: str) -> list[Result]:
        """What the search shows for these words, best first."""
        code = _SEARCH.replace("QUERY", json.dumps(words))
        found = json.loads(str(self._context.eval(code)))
        return [Result(f"{page}.md", title, anchor) for page, title, anchor, *_ in found]
