"""The mutants of a room: all that there may be, and a sample of them."""

from __future__ import annotations

import ast
import random
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from parso.tree import NodeOrLeaf

from mutants.operators import EmptyString, operators
from mutants.rooms import ROOT, Room

Position = tuple[int, int]


class Mutant(NamedTuple):
    """A file with one change.

    Attributes:
        file: its path, from the root of the checkout.
        line: of the change, from 1.
        where: the class and function that it is in; empty outside of any.
        before: the lines that are changed, each without the white space around it.
        after: the same, changed.
        operator: what has changed them.
        source: the whole file, changed.
    """

    file: str
    line: int
    where: str
    before: str
    after: str
    operator: str
    source: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What it is known by, whatever is changed above it."""
        return self.file, self.where, self.before, self.after


class _Site(NamedTuple):
    file: str
    position: Position
    operator: Operator
    occurrence: int


def sample(room: Room, seed: int) -> Iterator[Mutant]:
    """The mutants of a room in random order: one of each place before a second one of any.

    What would not compile, or is there already, is passed over.
    """
    sites = [site for file in room.files() for site in _sites(file)]
    random.Random(seed).shuffle(sites)
    seen = Counter[tuple[str, Position]]()
    ranks: list[int] = []
    for site in sites:
        seen[site.file, site.position] += 1
        ranks.append(seen[site.file, site.position])
    found: set[str] = set()
    for _, site in sorted(zip(ranks, sites, strict=True), key=lambda ranked: ranked[0]):
        mutant = _mutant(site)
        if mutant is not None and mutant.source not in found:
            found.add(mutant.source)
            yield mutant


def on_line(file: str, before: str) -> Iterator[Mutant]:
    """The mutants of a file whose change begins in a line like the first one of `before`."""
    lines = _read(file).splitlines()
    first = before.partition("\n")[0]
    for site in _sites(file):
        if lines[site.position[0] - 1].strip() == first:
            mutant = _mutant(site)
            if mutant is not None:
                yield mutant


def _read(file: str) -> str:
    return (ROOT / file).read_text("utf-8")


def _sites(file: str) -> list[_Site]:
    source = _read(file)
    nodes = list(ast_nodes(get_ast(source)))
    never, no_strings = _passed_over(source)
    found = []
    for operator in operators():
        spans = never + no_strings if isinstance(operator, EmptyString) else never
        positions = (
            (node, begin) for node in nodes for begin, _ in operator.mutation_positions(node)
        )
        found += [
            _Site(file, position, operator, occurrence)
            for occurrence, (node, position) in enumerate(positions)
            if not _marks_parameters(node)
            and not any(begin <= position < end for begin, end in spans)
        ]
    return found


def _marks_parameters(node: NodeOrLeaf) -> bool:
    """Whether it is the asterisk, or the slash, that says how parameters are given."""
    return node.type == "operator" and node.parent is not None and node.parent.type == "parameters"


def _mutant(site: _Site) -> Mutant | None:
    source = _read(site.file)
    try:
        changed = mutate_code(source, site.operator, site.occurrence)
    except AttributeError:
        return None  # cosmic-ray replaces an exception only where its name has no dots
    if changed is None or not _differs(source, changed):
        return None
    old, new = source.splitlines(), changed.splitlines()
    while old[-1] == new[-1]:
        old.pop()
        new.pop()
    first = next(index for index, line in enumerate(old) if new[index : index + 1] != [line])
    before, after = ("\n".join(line.strip() for line in lines[first:]) for lines in (old, new))
    operator, where = type(site.operator).__name__, _where(source, first + 1)
    return Mutant(site.file, first + 1, where, before, after, operator, changed)


def _differs(source: str, changed: str) -> bool:
    """Whether it is another program at all, and one that compiles."""
    try:
        with warnings.catch_warnings(action="ignore", category=SyntaxWarning):
            compile(changed, "mutant", "exec", dont_inherit=True)
        return ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source))
    except (SyntaxError, ValueError):
        return False


def _where(source: str, line: int) -> str:
    names, body = [], ast.parse(source).body
    while body:
        for node in body:
            if node.lineno <= line <= (node.end_lineno or 0):
                break
        else:
            break
        body = getattr(node, "body", []) if isinstance(node, _SCOPES) else []
        if body:
            names.append(node.name)  # type: ignore[attr-defined]
    return ".".join(names)


_SCOPES = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

_Spans = list[tuple[Position, Position]]


def _passed_over(source: str) -> tuple[_Spans, _Spans]:
    """Where nothing is changed, as it is not run; and where no string is.

    Annotations and names of types are for readers and mypy. How the words of errors and log records
    are put is not for tests of this kind: those of the documentation compare them with its pages.
    """
    never: list[ast.AST] = []
    words: list[ast.AST] = []
    for node in ast.walk(ast.parse(source)):
        annotations = (getattr(node, name, None) for name in ("annotation", "returns"))
        never += [annotation for annotation in annotations if annotation is not None]
        if _is_type(node):
            never.append(node)
        if isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and _speaks(node.value)):
            words.append(node)
    return [_span(node) for node in never], [_span(node) for node in words]


def _is_type(node: ast.AST) -> bool:
    if isinstance(node, ast.ClassDef):
        return any(ast.unparse(base) == "Protocol" for base in node.bases)
    return isinstance(node, ast.Subscript) and ast.unparse(node.value) in {"Callable", "Literal"}


def _speaks(value: ast.expr) -> bool:
    if isinstance(value, ast.Constant):
        return isinstance(value.value, str)  # a docstring
    return isinstance(value, ast.Call) and ast.unparse(value.func).startswith("logger.")


def _span(node: ast.AST) -> tuple[Position, Position]:
    found: _AnyNode = node  # type: ignore[assignment]
    return (found.lineno, found.col_offset), (found.end_lineno or 0, found.end_col_offset or 0)


_AnyNode = ast.expr | ast.stmt
