"""questions.toml: a reader finds the answer in two clicks from the first page, or in one search."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from docs_support import documents

pytest.importorskip("sphinx")
pytest.importorskip("py_mini_racer")

from site_support import Site

QUESTIONS = tomllib.loads(Path(__file__).with_name("questions.toml").read_text())["question"]
SEARCHES = [(question["page"], words) for question in QUESTIONS for words in question["words"]]
DOCUMENTS = documents()
INDEX = "\n".join(DOCUMENTS["docs/index.md"].prose)

_SHOWN = 3
"""Results that a reader looks at."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The documentation, built once for all questions."""
    return Site(tmp_path_factory.mktemp("site"))


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question["asks"])
def test_two_clicks(question: dict[str, str]) -> None:
    """The first page links to the page, which has the heading in its table of contents."""
    page, _, heading = question["page"].partition("#")
    assert f"]({page}" in INDEX
    assert not heading or heading in DOCUMENTS[f"docs/{page}"].anchors


@pytest.mark.parametrize(("page", "words"), SEARCHES)
def test_one_search(page: str, words: str, site: Site) -> None:
    """The page is among the first results for each of the words that a reader would type."""
    found = site.search(words)
    assert page.partition("#")[0] in [result.page for result in found[:_SHOWN]], found[:6]


def test_index_has_every_page() -> None:
    """No page is more than one click from the first one."""
    linked = set(re.findall(r"\]\(([\w-]+\.md)", INDEX))
    assert {f"docs/{page}" for page in linked} >= DOCUMENTS.keys() - {"README.md", "docs/index.md"}
