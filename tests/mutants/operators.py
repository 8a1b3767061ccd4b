"""What may be changed: cosmic-ray's operators, and those that it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.operators.provider import OperatorProvider
from parso.python.tree import Keyword, String
from parso.tree import NodeOrLeaf

Span = tuple[tuple[int, int], tuple[int, int]]

_KEPT = {"import_name", "import_from", "global_stmt", "nonlocal_stmt", "string", "strings"}


class DeleteStatement(Operator):
    """An operator that leaves out a statement of a function."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[Span]:
        """Where there is one: not docstrings, imports and what does nothing."""
        function = node.search_ancestor("funcdef")
        if node.type == "simple_stmt" and function is not None:
            statement, code = node.children[0], node.children[0].get_code().strip()
            is_end = code in {"return", "return None"} and node.end_pos == function.end_pos
            if statement.type not in _KEPT and code not in {"pass", "..."} and not is_end:
                yield statement.start_pos, statement.end_pos

    def mutate(self, node: Any, index: int) -> NodeOrLeaf:
        """Put ``pass`` in its place."""
        del index
        prefix = node.get_first_leaf().prefix
        node.children[0] = Keyword("pass", node.start_pos, prefix)
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Say what it does."""
        return (Example("def f():\n    a = 1\n", "def f():\n    pass\n"),)


class EmptyString(Operator):
    """An operator that leaves a string literal empty."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[Span]:
        """Where there is one that is not empty."""
        if node.type in {"string", "fstring"} and node.get_code().strip()[-2:] not in {'""', "''"}:
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> NodeOrLeaf:
        """Put an empty one in its place."""
        del index
        code = node.get_code(include_prefix=False)
        empty = 'b""' if code.lower().startswith("b") else '""'
        return String(empty, node.start_pos, node.get_first_leaf().prefix)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Say what it does."""
        return (Example("a = 'b'", 'a = ""'),)


class SwapFunction(Operator):
    """An operator that calls the opposite function."""

    _OPPOSITES = {"min": "max", "max": "min", "any": "all", "all": "any"}  # noqa: RUF012

    def mutation_positions(self, node: Any) -> Iterator[Span]:
        """Where one that has an opposite is called."""
        if node.type == "name" and node.value in self._OPPOSITES:
            following = node.get_next_sibling()
            if following is not None and following.type == "trailer":
                yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> NodeOrLeaf:
        """Name the other one."""
        del index
        node.value = self._OPPOSITES[node.value]
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Say what it does."""
        return (Example("min(a, b)", "max(a, b)"),)


def operators() -> list[Operator]:
    """Each operator that needs no arguments, in an order that is always the same.

    Left out is what puts ``is`` in the place of another comparison, or the other way round: between
    objects that are equal only to themselves there is no difference, and between others it depends
    on which of them Python keeps only once.
    """
    provided = OperatorProvider()
    theirs = [
        provided[name]
        for name in sorted(provided)
        if name in _IDENTITY or not _OF_IDENTITY.intersection(name.split("_"))
    ]
    return [
        *(operator() for operator in theirs if not operator.arguments()),
        *(DeleteStatement(), EmptyString(), SwapFunction()),
    ]


_OF_IDENTITY = {"Is", "IsNot"}
_IDENTITY = {"ReplaceComparisonOperator_Is_IsNot", "ReplaceComparisonOperator_IsNot_Is"}
