"""Whether this version may be uploaded: what RELEASING.md asks for, where a program can see it.

Run as a program (`make release`) it prints what is missing, and fails if anything is.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_ADDRESS = re.compile(r"https://[\w.-]+(?:/[\w.-]+){2,}")


def repository(root: Path) -> str:
    """The address of the repository; empty until the owner has set it."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    return str(project["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"])


def version(root: Path) -> str:
    """The version, read without importing the package."""
    tree = ast.parse((root / "sqlalchemy_rds_iam/__init__.py").read_text("utf-8"))
    [found] = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
    )
    return str(found)


def refusals(root: Path, tags: list[str]) -> Iterator[str]:
    """What keeps the version of a checkout from being uploaded, in a sentence each.

    Args:
        root: of the checkout.
        tags: those of the commit.
    """
    address, here = repository(root), version(root)
    if not _ADDRESS.fullmatch(address):
        yield (
            f"`repository` in pyproject.toml is {address!r}: expected the address of the published "
            "repository, such as 'https://forge.example/owner/sqlalchemy-rds-iam'"
        )
    changes = (root / "CHANGELOG.md").read_text("utf-8")
    newest = next(iter(re.findall(r"^## (.+)$", changes, re.MULTILINE)), "")
    if not re.fullmatch(rf"\[{re.escape(here)}\] - \d{{4}}-\d\d-\d\d", newest):
        yield (
            f"the first section of CHANGELOG.md is {newest!r}: expected '[{here}] - ' and the date"
        )
    if f"v{here}" not in tags:
        yield f"this commit has the tags {tags}: expected 'v{here}'"
    for page in ("README.md", "docs/quickstart.md"):
        if "ot on PyPI yet" in (root / page).read_text("utf-8"):
            yield f"{page} says that the package is not on PyPI yet: remove it"


if __name__ == "__main__":
    tagged = subprocess.run(
        ["git", "tag", "--points-at", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found = list(refusals(ROOT, tagged.stdout.split()))
    for sentence in found:
        print(f"not released: {sentence}", file=sys.stderr)  # noqa: T201
    sys.exit(bool(found))
