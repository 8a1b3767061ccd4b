"""questions.toml: a reader finds the answer in two clicks from the first page, or in one search."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from docs_support import documents

pytest.importorskip("sphinx")
pytest.importorskip("py_mini_racer")

from site_support import Site

from sqlalchemy_rds_iam._config.iam_options import IamOptions

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


@pytest.mark.parametrize("option", [IamOptions.named(each.name) for each in fields(IamOptions)])
def test_options(option: str, site: Site) -> None:
    """An option's name leads to its row on the page of options."""
    first = site.search(option)[0]
    assert first.page == "options.md"
    assert f'id="{first.anchor[1:]}"' in (site.directory / "options.html").read_text()


@pytest.mark.parametrize(
    "text",
    [
        "PAM authentication failed",
        "password authentication failed for user",
        "no pg_hba.conf entry for host",
        "sorry, too many clients already",
        "certificate verify failed",
        "no AWS credentials found",
    ],
)
def test_errors(text: str, site: Site) -> None:
    """An error's text leads to its row in Troubleshooting."""
    first = site.search(text)[0]
    assert first.page == "troubleshooting.md"
    assert first.anchor.startswith("#row-")


def test_index_has_every_page() -> None:
    """No page is more than one click from the first one."""
    linked = set(re.findall(r"\]\(([\w-]+\.md)", INDEX))
    assert {f"docs/{page}" for page in linked} >= DOCUMENTS.keys() - {"README.md", "docs/index.md"}
