"""The checker of words finds words in prose, and nothing in code."""

from __future__ import annotations

import pytest

pytest.importorskip("codespell_lib")
pytest.importorskip("proselint")

from prose import findings, pages

SENTENCES = [
    "It is for anybody who connects.",
    "psql, pg_dump and their likes work.",
    "## Limits, honestly",
    "No token can be had.",
    "The host is no RDS name.",
    "It waits at the most a second.",
    "The loop stands still.",
    "The ceiling is 200.",
    "Each connect takes its turn.",
    "In order to connect, add the plugin.",
]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_finds(sentence: str) -> None:
    """Each is found in prose, on its line, also where the line breaks, and not in code."""
    broken = sentence.replace(" ", "\n", 3)
    assert [line for line, _ in findings(f"Words.\n\n{sentence}\n")] == [3]
    assert len(list(findings(broken))) == 1
    assert list(findings(f"`{sentence}`\n\n```text\n{sentence}\n```\n<!-- {sentence} -->")) == []


@pytest.mark.parametrize(
    "sentence",
    [
        "There is no driver.",
        "It is no longer valid.",
        "A note that says why.",
        "A connection storm.",
    ],
)
def test_plain(sentence: str) -> None:
    """Standard English is not found."""
    assert list(findings(sentence)) == []


def test_docstrings() -> None:
    """Of the style, the strongest words count in docstrings as well."""
    assert len(list(findings("For anybody who connects.", prose=False))) == 1
    assert list(findings("The ceiling.", prose=False)) == []


def test_every_page_is_checked() -> None:
    """The pages are found."""
    names = {page.name for page in pages()}
    assert {"README.md", "CONTRIBUTING.md", "SECURITY.md", "troubleshooting.md"} <= names
