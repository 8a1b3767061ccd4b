"""What the documents consist of: code blocks, links, anchors, and the commands that they name."""

from __future__ import annotations

import difflib
import importlib.util
import re
import shlex
import textwrap
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import typer

from sqlalchemy_rds_iam.cli.app import app
from sqlalchemy_rds_iam.testing.server import mariadb_programs

ROOT = Path(__file__).parents[2]
_GROUPS = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
FRAMEWORKS = {re.split(r"[^\w-]", each)[0].replace("-", "_") for each in _GROUPS["frameworks"]}
"""The packages that examples may need and not find, as on the oldest versions."""

_FENCE = re.compile(r"( *)(`{3,})([^`]*)")
_MARK = re.compile(r"<!-- (not run|needs): (.*?) *-->")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_SPAN = re.compile(r"(`+)(.+?)\1")
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_MAKE = re.compile(r"^make(?: +[A-Z_]+=\S*)* +([a-z][\w-]*)")
_RUN = ("python", "ini")
_MYSQL = re.compile(r'\b(?:mysql|mariadb)\+(\w+)|engine="mysql"|\brds_(?:iam_)?mysql_\w+')
"""What a block has that needs a MariaDB, and the driver that it names."""


@dataclass(frozen=True)
class Block:
    """One fenced block of code.

    Attributes:
        document: name of its document, for messages.
        line: number of its first line of code.
        language: first word after the fence; empty if there is none.
        text: the code, without the indentation of the fence.
        excuse: what the mark before it says why it is not run; None without a mark.
        needs: packages without which it is not run, as another kind of mark says.
    """

    document: str
    line: int
    language: str
    text: str
    excuse: str | None = None
    needs: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Where to look."""
        return f"{self.document}:{self.line}"

    @property
    def runs(self) -> bool:
        """Whether the tests have to run it."""
        return self.language in _RUN and self.excuse is None and not self.missing

    @property
    def missing(self) -> set[str]:
        """What it needs and does not find: packages, and for MySQL a driver and a server."""
        found = list(_MYSQL.finditer(self.text))
        packages = {*self.needs, *filter(None, (each[1] for each in found))}
        missing = {name for name in packages if importlib.util.find_spec(name) is None}
        return missing if not found or _has_mariadb() else {*missing, "a MariaDB server"}

    @property
    def is_test_module(self) -> bool:
        """Whether it is for pytest: a conftest.py, or tests."""
        return self.language == "python" and bool(
            re.search(
                r"^(pytest_plugins =|def test_|async def test_|@pytest\.)", self.text, re.MULTILINE
            )
        )


class Document:
    """One Markdown file."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.blocks: list[Block] = []
        self.prose: list[str] = []
        self.loose_marks: list[str] = []
        self._read(text.splitlines())

    @property
    def anchors(self) -> set[str]:
        """What a link can lead to, as GitHub derives it from the headings."""
        seen: Counter[str] = Counter()
        found = set()
        for line in self.prose:
            if heading := re.match(r"#{1,6} +(.+?) *#*$", line):
                words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
                slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
                found.add(slug if not seen[slug] else f"{slug}-{seen[slug]}")
                seen[slug] += 1
        return found

    @property
    def links(self) -> list[str]:
        """The targets of all links that stay within the repository."""
        text = _COMMENT.sub("", _SPAN.sub("", "\n".join(self.prose)))
        return [link for link in _LINK.findall(text) if not re.match(r"[a-z]+:", link)]

    @property
    def commands(self) -> list[list[str]]:
        """The words of each `make` and `rds-iam` command, in shell blocks and in the prose."""
        shell = [b.text for b in self.blocks if b.language in {"sh", "bash", "shell", "console"}]
        lines = [line for text in shell for line in text.splitlines()]
        lines += [span[1] for span in _SPAN.findall("\n".join(self.prose))]
        return [list(words) for line in lines if (words := _command(line))]

    def _read(self, lines: list[str]) -> None:
        mark: re.Match[str] | None = None
        fence: re.Match[str] | None = None
        code: list[str] = []
        for number, line in enumerate(lines, 1):
            if fence is not None:
                if line.strip() != fence[2]:
                    code.append(line)
                    continue
                language = (fence[3].split() or [""])[0]
                text = "".join(f"{each.removeprefix(fence[1])}\n" for each in code)
                first = number - len(code)
                self.blocks.append(Block(self.name, first, language, text, *_marks(mark)))
                if mark is not None and language not in _RUN:
                    self.loose_marks.append(f"{self.name}:{first}")
                fence, code, mark = None, [], None
            elif opening := _FENCE.fullmatch(line):
                fence = opening
            else:
                self.prose.append(line)
                if mark is not None and line.strip():
                    self.loose_marks.append(f"{self.name}:{number}")
                    mark = None
                if found := _MARK.fullmatch(line.strip()):
                    mark = found
        assert fence is None, f"{self.name}: a block of code does not end"
        if mark is not None:
            self.loose_marks.append(f"{self.name}: at the end")


@cache
def _has_mariadb() -> bool:
    try:
        mariadb_programs.find()
    except RuntimeError:
        return False
    return True


def documents() -> dict[str, Document]:
    """README.md and everything in docs/, by their names."""
    files = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    names = [file.relative_to(ROOT).as_posix() for file in files]
    return {name: Document(name, (ROOT / name).read_text()) for name in names}


def faults(document: Document, others: dict[str, Document]) -> Iterator[str]:
    """What is wrong with the form of a document, each in one sentence."""
    for block in document.blocks:
        near = difflib.get_close_matches(block.language.lower(), _RUN, cutoff=0.5)
        if near and block.language not in _RUN:
            yield f"{block.place}: {block.language!r} is not run; say {near[0]!r}"
        if block.excuse == "":
            yield f"{block.place}: the mark does not say why it is not run"
        for package in set(block.needs) - FRAMEWORKS:
            yield f"{block.place}: needs {package}, and the group 'frameworks' does not bring it"
    for place in document.loose_marks:
        yield f"{place}: a mark without a block of python or ini right after it"
    for link in document.links:
        path, _, anchor = link.partition("#")
        target = _resolve(document.name, path)
        if target not in others and not (ROOT / target).exists():
            yield f"{document.name}: link to {link}, and there is no {target}"
        elif anchor and target not in others:
            yield f"{document.name}: link to {link}, and {target} is none of the documents"
        elif anchor and anchor not in others[target].anchors:
            yield f"{document.name}: link to {link}, and there is no such heading"


def command_faults(words: list[str]) -> Iterator[str]:
    """What does not exist of a command."""
    if words[0] == "make":
        if words[1] not in _make_targets():
            yield f"make {words[1]}"
        return
    group = typer.main.get_command(app)
    name, *arguments = words[1:]
    if name.startswith("-"):
        command, arguments = group, [name]
    elif name in group.commands:
        command = group.commands[name]
    else:
        yield f"rds-iam {name}"
        return
    if "--" in arguments:  # what follows is another program's
        arguments = arguments[: arguments.index("--")]
    known = {option for each in command.params for option in each.opts} | {"-h", "--help"}
    for option in arguments:
        if option.startswith("-") and option.partition("=")[0] not in known:
            yield f"rds-iam {command.name} {option}"


def variables(text: str) -> dict[str, str]:
    """What a block of `env` sets: a line each, NAME=value."""
    lines = [line for line in textwrap.dedent(text).splitlines() if line and line[0] != "#"]
    assert all("=" in line for line in lines), text
    return dict(line.split("=", 1) for line in lines)


def _marks(mark: re.Match[str] | None) -> tuple[str | None, tuple[str, ...]]:
    """Why a block is not run, and what it needs."""
    if mark is None:
        return None, ()
    return (mark[2], ()) if mark[1] == "not run" else (None, tuple(re.findall(r"[\w-]+", mark[2])))


def _make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def _command(line: str) -> list[str]:
    line = line.strip().removeprefix("$ ").partition(" #")[0]
    if target := _MAKE.match(line):
        return ["make", target[1]]
    return shlex.split(line) if line.startswith("rds-iam ") else []


def _resolve(document: str, path: str) -> str:
    if not path:
        return document
    parts: list[str] = list(Path(document).parent.parts)
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
