"""The examination: its checks, each within its deadline, and the report made of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from sqlalchemy_rds_iam._concurrency import call_with_timeout, run_in_daemon_thread
from sqlalchemy_rds_iam._masking import first_line
from sqlalchemy_rds_iam.doctor import iam_log, network
from sqlalchemy_rds_iam.doctor.checks import CHECKS
from sqlalchemy_rds_iam.doctor.findings import Finding, Outcome, Report, Status, report, warning
from sqlalchemy_rds_iam.doctor.schedule import ASIDE, SERVER, TOTAL, Schedule
from sqlalchemy_rds_iam.doctor.state import Check, State
from sqlalchemy_rds_iam.doctor.urls import shown


def examine(
    url: str | URL,
    *,
    timeout: float = TOTAL,
    read_log: bool = False,
    tell: Callable[[str], None] | None = None,
    **keywords: Any,
) -> Report:
    """Find out why an engine does not connect, or that nothing is wrong with it.

    It blocks until it is done, which is after `timeout` at the latest; from a coroutine call it in
    a thread.

    Args:
        url: what goes to ``create_engine()``.
        timeout: seconds for all of it, which the checks share; see `schedule`. With `read_log`
            waiting for the log comes on top.
        read_log: look for the server's own reason in CloudWatch (logs:FilterLogEvents), if the
            login is refused and the instance exports its log ``iam-db-auth-error``.
        tell: takes the name of each check as it begins.
        keywords: the keywords of ``create_engine()``, the plugin's options among them.
    """
    more = iam_log.PATIENCE if read_log else 0.0
    state = State(url, keywords, Schedule(timeout + more), read_log)
    try:
        outcomes = list(_outcomes(state, tell or (lambda _: None)))
    finally:
        state.leave()
    # At the end, when every secret is known.
    scrubbed = [_scrubbed(outcome, state) for outcome in outcomes]
    return report(state.scrub(_target(state)), scrubbed, logged_in=state.logged_in)


def _outcomes(state: State, tell: Callable[[str], None]) -> Iterator[Outcome]:
    checks = {check.name: check for check in CHECKS}
    aside: Future[Outcome] | None = None
    for name, check in checks.items():
        tell(name)
        if name == SERVER[0]:
            other = checks[ASIDE]
            aside = run_in_daemon_thread(lambda: _outcome(other, state))  # noqa: B023  (one name)
        yield aside.result() if name == ASIDE and aside else _outcome(check, state)


def _outcome(check: Check, state: State) -> Outcome:
    if not check.ready(state):
        needs = check.needs if state.secret is None else "there is no token"
        return Outcome(check.name, (Finding(Status.SKIPPED, f"not looked at: {needs}"),))
    found: list[Finding] = []

    def look() -> None:
        for finding in check.examine(state):
            found.append(finding)  # noqa: PERF402  (what was found counts although it takes too long)

    began, seconds = time.monotonic(), state.schedule.begin(check.name)
    try:
        call_with_timeout(seconds, look)
    except TimeoutError:
        found.append(check.late(state, seconds))
    except Exception as error:  # noqa: BLE001  (an examination that breaks off reports nothing)
        found.append(
            warning(
                "doctor-failed",
                f"this check itself failed: {type(error).__name__}: {first_line(error)}",
                fix="Please report it, with these words",
            )
        )
    return Outcome(check.name, tuple(found), time.monotonic() - began)


def _scrubbed(outcome: Outcome, state: State) -> Outcome:
    completed = (network.with_endpoint(state, finding) for finding in outcome.findings)
    return replace(
        outcome,
        findings=tuple(
            replace(
                each,
                summary=state.scrub(each.summary),
                why=state.scrub(each.why),
                evidence=tuple(state.scrub(line) for line in each.evidence if line),
                fix=state.scrub(each.fix),
                commands=tuple(
                    replace(command, text=state.scrub(command.text)) for command in each.commands
                ),
            )
            for each in completed
        ),
    )


def _target(state: State) -> str:
    """What is examined, in one line."""
    if state.target is not None:
        through = f", through {state.dialled}:{state.port}" if state.tunnelled else ""
        return f"{state.target.endpoint}{through}"
    try:
        return shown(make_url(state.given).set(query={}))
    except (ArgumentError, ValueError):
        return "a URL that cannot be read"
