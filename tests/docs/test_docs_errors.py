"""docs/troubleshooting.md has a row for each message of the package, and no other."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from docs_support import ROOT

import sqlalchemy_rds_iam
from sqlalchemy_rds_iam import errors
from sqlalchemy_rds_iam._secretsmanager.secret_errors import _REASONS

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
OURS = PAGE.partition("\n## What the plugin says\n")[2]
_ERRORS = {"DnsError", "VersionNotFoundError"}
"""Those that are not in the room of errors."""

_FEWEST = 8
"""Letters that make a message one: those of re-raised errors are the other's."""


def test_every_message_has_a_row() -> None:
    """Whatever the package raises or logs is explained."""
    rows = [_pattern(row) for row in _rows()]
    missing = [text for text in _messages() if not any(row.fullmatch(text) for row in rows)]
    assert missing == []


def test_every_row_has_a_message() -> None:
    """What is explained can happen, in these words."""
    messages = list(_messages())
    stale = [row for row in _rows() if not any(_pattern(row).fullmatch(m) for m in messages)]
    # Errors that are passed on, with the name of an engine before them.
    assert [row for row in stale if _letters(row) >= _FEWEST] == []


@pytest.mark.parametrize(
    ("row", "message", "fits"),
    [
        ("no … for …: …", "no region for …: say one", False),
        ("no … for …: …", "no … for …: say one", True),
        ("port=…: expected one", "port=…: expected one number", False),
        ("…=…: expected …", "port=…: expected one number", False),
    ],
)
def test_what_an_ellipsis_stands_for(row: str, message: str, *, fits: bool) -> None:
    """At the end anything, elsewhere what varies and nothing else."""
    assert bool(_pattern(row).fullmatch(message)) is fits


def _rows() -> list[str]:
    cells = re.findall(r"^\| (?:[A-Z]+ \| )?(`.+?) \| ", OURS, re.MULTILINE)
    return [span for cell in cells for span in re.findall(r"`([^`]+)`", cell)]


def _pattern(row: str) -> re.Pattern[str]:
    body, end = (row.removesuffix("…"), ".*") if row.endswith("…") else (row, "")
    return re.compile("…+".join(map(re.escape, body.split("…"))) + end)


def _messages() -> Iterator[str]:
    """What is raised, what a function makes that is raised, and what is logged; `…` for values."""
    package = Path(sqlalchemy_rds_iam.__file__).parent
    files = sorted([*package.glob("*.py"), *package.glob("_*/*.py")])
    assert len(files) > 70  # or else all would be well without a look at any
    trees = [ast.parse(file.read_text()) for file in files]
    methods: dict[str, list[ast.FunctionDef]] = defaultdict(list)
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                methods[node.name].append(node)
    for tree in trees:
        names = {
            node.targets[0].id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        functions = {node.name: [node] for node in tree.body if isinstance(node, ast.FunctionDef)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (told := _told(node)) is not None:
                for text in _texts(told, names, functions, methods):
                    if _letters(text) >= _FEWEST:
                        yield text
        yield from map(_text, filter(_is_logged, ast.walk(tree)))  # type: ignore[arg-type]
    for _, _, reason in _REASONS:
        yield f"the secret … in … {reason.format('…')}"


def _is_logged(node: ast.AST) -> bool:
    """Whether these are words for the log: in one line, and with values to fill in."""
    match node:
        case ast.Constant(value=str(text)):
            return bool(re.fullmatch(r"[^\n]*%(\.\d)?[srf]( [^\n]*|\W[^\n]*|)", text))
    return False


def _told(call: ast.Call) -> ast.expr | None:
    """The words of what makes an error."""
    match call.func:
        case ast.Name(id=name) if isinstance(getattr(errors, name, None), type) or name in _ERRORS:
            pass
        case ast.Call(func=ast.Name(id="type")):
            pass  # type(error)(…)
        case _:
            return None
    return call.args[0] if call.args else None


def _texts(
    node: ast.expr,
    names: dict[str, ast.expr],
    functions: dict[str, list[ast.FunctionDef]],
    methods: dict[str, list[ast.FunctionDef]],
) -> list[str]:
    makers: list[ast.FunctionDef] = []
    match node:
        case ast.Name(id=name) if name in names:
            return [_text(names[name])]
        case ast.Call(func=ast.Name(id=name)):
            makers = functions.get(name) or methods[name]
        case ast.Call(func=ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name)):
            makers = methods[name]
    ends = [each for maker in makers for each in ast.walk(maker) if isinstance(each, ast.Return)]
    return [_text(end.value) for end in ends if end.value is not None] or [_text(node)]


def _text(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return re.sub(r"%(\.\d)?[a-z]", "…", text)
        case ast.JoinedStr(values=values):
            parts = (_text(each) for each in values)
            return "".join(parts)
        case ast.FormattedValue(value=value):
            return _plugin(value) or "…"
    return "…"


def _plugin(node: ast.expr) -> str | None:
    """The name of a plugin or of an option that both have, with `…` for what differs."""
    match node:
        case ast.Attribute(attr="PLUGIN"):
            return "rds_…"
        case ast.Call(func=ast.Attribute(attr="named"), args=[ast.Constant(value=str(name))]):
            return f"rds_…_{name}"
    return None


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))
