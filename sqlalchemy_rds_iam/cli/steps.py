"""Show steps as they are taken: live in a terminal, plain lines in a pipe, data on request."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from sqlalchemy_rds_iam._masking import first_line
from sqlalchemy_rds_iam.cli.console import Page

if TYPE_CHECKING:
    # It needs the extra `testing`, which not every command does.
    from sqlalchemy_rds_iam.cli.demo_steps import Step

_NARROW = 72
"""Columns below which a step's text goes under its title instead of beside it."""
_WIDEST = 110
"""Columns that a line of text is still read well in."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step ended, after how many seconds; for the rest see the demo's `Finding`."""

    title: str
    passed: bool
    seconds: float
    summary: str
    log: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


class Report:
    """Takes steps and shows how each ended.

    Args:
        quiet: show nothing, for callers that read `as_data` instead.
        console: where to print, by default standard output.
        progress: where to show the step under way, by default standard error.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        console: Console | None = None,
        progress: Console | None = None,
    ) -> None:
        self._console = console or Page(quiet=quiet)
        self._progress = progress or Console(stderr=True, highlight=False)
        self._width = min(self._console.width, _WIDEST)
        self._started = time.monotonic()
        self._outcomes: list[Outcome] = []

    @property
    def passed(self) -> bool:
        """Whether steps were taken, and every one of them passed."""
        return bool(self._outcomes) and all(outcome.passed for outcome in self._outcomes)

    def heading(self, title: str, subtitle: str) -> None:
        """Show what is going to happen."""
        self._print("", Text(title, "bold"), Text(subtitle, "dim"), "")

    def take(self, title: str, step: Step) -> bool:
        """Take a step, whose error is an outcome too, and return whether it passed."""
        started = time.monotonic()
        live = Text(title)
        with self._progress.status(live) as status:

            def tell(words: str) -> None:
                status.update(Text.assemble(title, (f"  {words}", "dim")))

            try:
                found = step(tell)
            except Exception as error:  # noqa: BLE001  (whatever it is, the step did not pass)
                words = f"{type(error).__name__}: {first_line(error)}"
                outcome = Outcome(title, False, time.monotonic() - started, words)
            else:
                seconds = time.monotonic() - started
                outcome = Outcome(title, True, seconds, found.summary, found.log, {**found.facts})
        self._outcomes.append(outcome)
        self._print(self._line(outcome))
        return outcome.passed

    def closing(self, total: int) -> None:
        """Show the sum of it."""
        count = sum(outcome.passed for outcome in self._outcomes)
        seconds = time.monotonic() - self._started
        verdict = Text(f"{count} of {total} steps passed in {seconds:.1f} s", "bold")
        verdict.stylize("green" if count == total else "red")
        self._print("", verdict)

    def as_data(self) -> dict[str, Any]:
        """The whole run, fit for JSON."""
        return {
            "passed": self.passed,
            "seconds": round(time.monotonic() - self._started, 3),
            "steps": [
                asdict(outcome) | {"seconds": round(outcome.seconds, 3)}
                for outcome in self._outcomes
            ],
        }

    def _line(self, outcome: Outcome) -> RenderableType:
        good, bad = "✓✗" if self._console.encoding.startswith("utf") else "+!"
        mark = Text(good, "bold green") if outcome.passed else Text(bad, "bold red")
        text = Text(outcome.summary, "" if outcome.passed else "red")
        if outcome.log:
            text.append(f"\n{outcome.log}", "dim")
        title, seconds = Text(outcome.title, "bold"), Text(f"{outcome.seconds:.1f} s", "dim")
        table = Table.grid(padding=(0, 1))
        table.width = self._width
        table.add_column(width=1)
        if self._width < _NARROW:
            table.add_column(ratio=1, overflow="fold")
            table.add_row(mark, Text.assemble(title, "  ", seconds))
            table.add_row("", text)
        else:
            table.add_column(width=14)
            table.add_column(ratio=1, overflow="fold")
            table.add_column(width=6, justify="right")
            table.add_row(mark, title, text, seconds)
        return table

    def _print(self, *lines: RenderableType) -> None:
        for line in lines:
            self._console.print(line, width=self._width)
