"""SQL that lets a database user log in by token and what to know before it is run."""

from __future__ import annotations

from typing import NamedTuple


class Grants(NamedTuple):
    """What to run, and what to know before.

    Attributes:
        statements: SQL, each without its semicolon.
        notes: sentences, none of which quotes a name.
    """

    statements: list[str]
    notes: list[str]

    def script(self) -> str:
        """All of it as one SQL script."""
        lines = [f"-- {note}" for note in self.notes]
        return "\n".join([*lines, *(f"{each};" for each in self.statements)])
