"""Check the words: spelling by codespell, style by proselint and the project's docs/style.toml.

`make check` runs it. It prints each finding with its place and what to write instead.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from codespell_lib import main as codespell
from proselint import checks
from proselint.registry.checks import Check
from proselint.registry.checks.engine import Fancy
from proselint.registry.checks.types import PreferredForms

ROOT = Path(__file__).parents[2]
# Not for technical texts: word lists of schools, quotes as typographers set them.
_UNUSED = ("annotations", "lexical_illusions", "restricted", "typography")
_STYLE = tomllib.loads((ROOT / "docs" / "style.toml").read_text(encoding="utf-8"))
# Tables of results, comments, blocks of code, spans of code, the targets of links.
_CODE = re.compile(
    r"<!-- results:.*?<!-- end of results -->|<!--.*?-->|"
    r"^( *)(`{3,}).*?^\1\2$|(`+)(?!`)[^`]+\3|\]\([^)]*\)",
    re.DOTALL | re.MULTILINE,
)


def _own(part: str) -> Check:
    forms = {f"(?:{words})": instead for words, instead in _STYLE[part].items()}
    return Check(PreferredForms(forms), Fancy(), f"style.{part}", "{1!r}: write {0!r}")


_DOCSTRINGS = [_own("everywhere")]
_PAGES = [
    *_DOCSTRINGS,
    _own("prose"),
    *(check for check in checks.__register__ if not check.path.startswith(_UNUSED)),
]


def findings(text: str, *, prose: bool = True) -> Iterator[tuple[int, str]]:
    """What is wrong with a text: line number, and the words with what to write instead.

    Args:
        text: Markdown, or a docstring.
        prose: whether it is a page, for which all of the style counts.
    """
    plain = _CODE.sub(lambda code: re.sub(r"[^\n]", "`", code[0]), text)
    # A phrase may go on in the next line.
    plain = re.sub(r"\n(?!\n)", " ", plain)
    for check in _PAGES if prose else _DOCSTRINGS:
        for found in check.check_with_flags(plain):
            yield text.count("\n", 0, found.span[0]) + 1, found.message


def pages() -> list[Path]:
    """The Markdown that the style is for."""
    first = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
    return [*first, *sorted((ROOT / "docs").glob("*.md"))]


def _docstrings(file: Path) -> Iterator[tuple[int, str]]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, kinds) and (text := ast.get_docstring(node, clean=False)):
            assert isinstance(node.body[0], ast.Expr)
            yield node.body[0].lineno, text


def _all() -> Iterator[str]:
    for page in pages():
        for line, message in findings(page.read_text(encoding="utf-8")):
            yield f"{page.relative_to(ROOT)}:{line}: {message}"
    for file in sorted((ROOT / "sqlalchemy_rds_iam").rglob("*.py")):
        for first, text in _docstrings(file):
            for line, message in findings(text, prose=False):
                yield f"{file.relative_to(ROOT)}:{first + line - 1}: {message}"


def _main() -> int:
    found = list(_all())
    sys.stdout.writelines(f"{each}\n" for each in found)
    spelled = [*map(str, pages()), str(ROOT / "CHANGELOG.md"), str(ROOT / "sqlalchemy_rds_iam")]
    return 1 if codespell("--toml", str(ROOT / "pyproject.toml"), *spelled) or found else 0


if __name__ == "__main__":
    sys.exit(_main())
