"""What a package index shows: the README and links, made of the one address of the repository.

In the checkout the README links to files beside it. An index page has none, so each of these links
becomes an address in the repository, at the tag of the version. Without an address, as before the
repository is published, nothing is changed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

WORKFLOW = "ci.yml"
"""Of those in `.github/workflows`, the one that a badge shows."""

# A link or a picture of Markdown whose target is neither an address nor a place on the page.
_LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\])*\]\()(?![a-z]+:|#)([^()\s]+)\)")


class IndexPage(MetadataHookInterface):
    """Sets `readme` and `urls` of the project; called by hatchling."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add both to what `pyproject.toml` says."""
        address, version = str(self.config["repository"]), str(metadata["version"])
        text = Path(self.root, "README.md").read_text("utf-8")
        if address:
            text = with_badge(absolute(text, address, version), address)
        metadata["urls"] = urls(address, version) if address else {}
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def urls(address: str, version: str) -> dict[str, str]:
    """The links beside the text, by the names that indexes know."""
    files = f"{address}/blob/v{version}"
    return {
        "Source": address,
        "Documentation": f"{files}/docs/index.md",
        "Changelog": f"{files}/CHANGELOG.md",
        "Issues": f"{address}/issues",
    }


def absolute(text: str, address: str, version: str) -> str:
    """Markdown with each link into the checkout as an address in the repository.

    A picture has to be the file itself, and any other link the page that shows it.
    """

    def one(found: re.Match[str]) -> str:
        kind = "raw" if found[1].startswith("!") else "blob"
        return f"{found[1]}{address}/{kind}/v{version}/{found[2]})"

    return _LINK.sub(one, text)


def with_badge(text: str, address: str) -> str:
    """The text with a badge below its title: whether the tests pass in the repository."""
    title, _, rest = text.partition("\n\n")
    runs = f"{address}/actions/workflows/{WORKFLOW}"
    return f"{title}\n\n[![tests]({runs}/badge.svg)]({runs})\n\n{rest}"
