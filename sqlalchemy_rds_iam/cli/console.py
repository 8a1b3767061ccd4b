"""Rich's console, for the reports that have colour in a terminal."""

from __future__ import annotations

from typing import NoReturn

from rich.console import Console

from sqlalchemy_rds_iam.cli.output import reader_gone


class Page(Console):
    """Standard output. Write to it in a block of `output.writing`."""

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__(highlight=False, emoji=False, quiet=quiet)

    def on_broken_pipe(self) -> NoReturn:
        """End as the other commands do, and not with a status of rich's own."""
        reader_gone()
