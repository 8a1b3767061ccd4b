"""What the doctor found: findings, the report, and which cause it names first. Pure.

A check says what it saw and how sure it is; this module alone decides what that amounts to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    NOTE = "note"
    SKIPPED = "skipped"
    WARNING = "warning"
    PROBLEM = "problem"


class Certainty(StrEnum):
    """How sure a cause is, as the server does not tell clients why it refuses a token."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


class Kind(StrEnum):
    """Where a command is pasted, and what it does there."""

    LOOK = "look"
    """Into a shell; it shows something, and changes nothing."""
    SHELL = "shell"
    """Into a shell; it changes something."""
    ENVIRONMENT = "environment"
    """Into the shell or the unit file that starts the application."""
    SQL = "sql"
    """Into a session of the master user."""
    URL = "url"
    """In place of the URL that was given."""
    OPTION = "option"
    """Into the URL's query, with a value that only the user knows."""
    POLICY = "policy"
    """Into an IAM policy."""


@dataclass(frozen=True, slots=True)
class Command:
    """One line to paste.

    Attributes:
        kind: where it is pasted.
        text: the line.
    """

    kind: Kind
    text: str

    def __str__(self) -> str:
        return self.text


_WORST = tuple(Status)
_SUREST = tuple(Certainty)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was seen.

    Attributes:
        status: how bad it is.
        summary: one sentence.
        code: the cause's name, for machines; empty where nothing is wrong.
        certainty: how sure it is that this keeps connects from succeeding.
        why: why it matters, where that is not plain.
        evidence: what was seen, a line each.
        fix: what to do, one sentence; empty if the summary says so.
        commands: the lines to paste, in order.
        explains: codes of what is only a consequence, should it be found as well.
        regardless: whether it stays a problem although the login worked.
        symptom: whether it is what needs a cause, and not a cause itself.
    """

    status: Status
    summary: str
    code: str = ""
    certainty: Certainty = Certainty.CERTAIN
    why: str = ""
    evidence: tuple[str, ...] = ()
    fix: str = ""
    commands: tuple[Command, ...] = ()
    explains: tuple[str, ...] = ()
    regardless: bool = False
    symptom: bool = False


def ok(summary: str, *evidence: str) -> Finding:
    """A finding that all is well."""
    return Finding(Status.OK, summary, evidence=evidence)


def note(summary: str, *evidence: str) -> Finding:
    """A finding that is worth knowing, and needs no action."""
    return Finding(Status.NOTE, summary, evidence=evidence)


def problem(
    code: str, summary: str, certainty: Certainty = Certainty.CERTAIN, **more: Any
) -> Finding:
    """A finding that keeps connects from succeeding; `more` are fields of `Finding`."""
    return Finding(Status.PROBLEM, summary, code, certainty, **more)


def warning(code: str, summary: str, **more: Any) -> Finding:
    """A finding that connects succeed in spite of; `more` are fields of `Finding`."""
    return Finding(Status.WARNING, summary, code, **more)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One check and its findings.

    Attributes:
        check: the check's name.
        findings: in the order they were made; empty only if it was interrupted at once.
        seconds: how long it took.
    """

    check: str
    findings: tuple[Finding, ...]
    seconds: float = 0.0

    @property
    def status(self) -> Status:
        """The worst of the findings."""
        found = [finding.status for finding in self.findings]
        return max(found, key=_WORST.index, default=Status.SKIPPED)


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found.

    Attributes:
        target: what was examined, without any secret.
        outcomes: each check with its findings, in order.
        causes: the problems, likeliest first: the first one is the one to deal with.
        warnings: what does not keep connects from succeeding, yet.
        logged_in: whether a login succeeded.
    """

    target: str
    outcomes: tuple[Outcome, ...]
    causes: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    logged_in: bool

    @property
    def healthy(self) -> bool:
        """Whether the login works, and nothing was found that may keep it from doing so."""
        return self.logged_in and not self.causes

    def as_data(self) -> dict[str, Any]:
        """The whole report, fit for JSON."""
        return {
            "healthy": self.healthy,
            "target": self.target,
            "logged_in": self.logged_in,
            "causes": [_data(finding) for finding in self.causes],
            "warnings": [_data(finding) for finding in self.warnings],
            "checks": [
                {
                    "check": outcome.check,
                    "status": outcome.status,
                    "seconds": round(outcome.seconds, 3),
                    "findings": [_data(finding) for finding in outcome.findings],
                }
                for outcome in self.outcomes
            ],
        }


def report(target: str, outcomes: Iterable[Outcome], *, logged_in: bool) -> Report:
    """Judge the outcomes as a whole.

    What looked like a problem before the login is none if the login worked.
    """
    judged = tuple(
        replace(
            outcome, findings=tuple(_judged(each, logged_in=logged_in) for each in outcome.findings)
        )
        for outcome in outcomes
    )
    found = [finding for outcome in judged for finding in outcome.findings]
    return Report(
        target,
        judged,
        _ranked([finding for finding in found if finding.status is Status.PROBLEM]),
        tuple(
            finding for finding in found if finding.status is Status.WARNING and not finding.symptom
        ),
        logged_in,
    )


def _judged(finding: Finding, *, logged_in: bool) -> Finding:
    if logged_in and finding.status is Status.PROBLEM and not finding.regardless:
        return replace(finding, status=Status.WARNING)
    return finding


def _ranked(problems: list[Finding]) -> tuple[Finding, ...]:
    explained = {code for finding in problems for code in finding.explains}
    causes = [finding for finding in problems if not finding.symptom] or problems
    once = {finding.code: finding for finding in reversed(causes)}
    # Sorting is stable: of two that are equally sure, the one that a connect meets first counts.
    return tuple(
        sorted(
            (finding for finding in causes if once[finding.code] is finding),
            key=lambda each: (each.code in explained, _SUREST.index(each.certainty)),
        )
    )


def _data(finding: Finding) -> dict[str, Any]:
    data = asdict(finding)
    del data["explains"], data["regardless"], data["symptom"]
    if finding.status is not Status.PROBLEM:
        data["certainty"] = None
    return data
