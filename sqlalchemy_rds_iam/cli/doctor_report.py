"""Show a diagnosis: the cause first, then what shows it, then what to run; all else below.

It is read at night, in a hurry, over ssh and in tickets: so it says the same without colour, stays
whole in a pipe, and keeps every command on a line of its own, unwrapped, to be copied.
"""

from __future__ import annotations

import textwrap

from rich.console import Console
from rich.text import Text

from sqlalchemy_rds_iam.doctor.findings import Certainty, Finding, Outcome, Report, Status

_WIDEST = 100
"""Columns that a line of text is still read well in."""

_MARKS = {
    Status.OK: ("✓", "+", "bold green"),
    Status.NOTE: ("·", ".", "dim"),
    Status.SKIPPED: ("-", "-", "dim"),
    Status.WARNING: ("!", "!", "bold yellow"),
    Status.PROBLEM: ("✗", "x", "bold red"),
}


def show(report: Report, console: Console, *, verbose: bool = False) -> None:
    """Print a report.

    Args:
        report: the outcome of an examination.
        console: where to print.
        verbose: show the evidence of every check, not only of what is wrong.
    """
    _Page(console, verbose=verbose).show(report)


class _Page:
    def __init__(self, console: Console, *, verbose: bool) -> None:
        self._console = console
        self._width = min(console.width, _WIDEST)
        self._verbose = verbose

    def show(self, report: Report) -> None:
        self._print("", report.target, "bold")
        self._blank()
        if report.healthy:
            self._marked(Status.OK, "Nothing is wrong: the login works.", "bold")
            self._blank()
        elif not report.causes:
            self._marked(Status.PROBLEM, "No login was tried, and no cause was found.", "bold")
            self._blank()
        for number, cause in enumerate(report.causes):
            if number == 1:
                sure = report.causes[0].certainty is Certainty.CERTAIN
                also = (
                    "Found as well, and perhaps because of it:" if sure else "Otherwise it may be:"
                )
                self._print("", also, "bold")
                self._blank()
            self._finding(cause, f"{cause.certainty}: ", "bold" if number == 0 else "")
        for finding in report.warnings:
            self._finding(finding, "", "")
        self._print("", "What was looked at", "bold")
        for outcome in report.outcomes:
            self._outcome(outcome)

    def _finding(self, finding: Finding, sure: str, style: str) -> None:
        words = sure + finding.summary
        self._marked(finding.status, words[:1].upper() + words[1:], style)
        self._labelled("why", finding.why)
        self._labelled("seen", *finding.evidence)
        self._labelled("do", finding.fix)
        for command in finding.commands:
            # Not wrapped: what is copied has to be what is run.
            self._line(Text.assemble(" " * 8, (command.text, "cyan")))
        self._labelled("code", finding.code)
        self._blank()

    def _labelled(self, label: str, *lines: str) -> None:
        for number, line in enumerate(filter(None, lines)):
            self._print(f"  {label if number == 0 else '':6}", line)

    def _outcome(self, outcome: Outcome) -> None:
        name, told = outcome.check, False
        for finding in outcome.findings:
            if finding.status is Status.PROBLEM:
                if told:
                    continue  # all of them are above; this is the outcome
                told = True
            style = "dim" if finding.status is Status.SKIPPED else ""
            self._marked(finding.status, finding.summary, style, name)
            name = ""
            for line in finding.evidence if self._verbose else ():
                self._print(" " * 11, line, "dim")

    def _marked(self, status: Status, words: str, style: str, name: str | None = None) -> None:
        good, plain, colour = _MARKS[status]
        mark = good if self._console.encoding.startswith("utf") else plain
        head = f"{mark} " if name is None else f"{mark} {name:8} "
        self._print(head, words, style, colour)

    def _print(self, head: str, words: str, style: str = "", head_style: str = "dim") -> None:
        indent = " " * len(head)
        # Long words stay whole: they are host names and ARNs.
        lines = textwrap.wrap(
            words,
            max(self._width, 2 * len(head)),
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for number, line in enumerate(lines):
            begin = head if number == 0 else indent
            self._line(Text.assemble((begin, head_style), (line[len(head) :], style)))

    def _blank(self) -> None:
        self._line(Text())

    def _line(self, line: Text) -> None:
        line.rstrip()
        self._console.print(line, soft_wrap=True)
