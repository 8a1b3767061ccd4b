"""The examination: its checks in order, each within its deadline, and the report made of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from sqlalchemy_rds_iam._concurrency import call_with_timeout
from sqlalchemy_rds_iam._masking import first_line
from sqlalchemy_rds_iam.doctor import (
    database,
    encryption,
    identity,
    login,
    network,
    options,
)
from sqlalchemy_rds_iam.doctor.findings import (
    Finding,
    Outcome,
    Report,
    Status,
    note,
    problem,
    report,
    warning,
)
from sqlalchemy_rds_iam.doctor.state import Check, State


def _late(code: str, summary: str, fix: str) -> Callable[[State], Finding]:
    def finding(state: State) -> Finding:
        return problem(code, f"{summary} within {state.timeout:g} s", fix=fix)

    return finding


def _no_credentials_in_time(state: State) -> Finding:
    if state.credentials is not None:
        return note(f"STS has not said within {state.timeout:g} s whose the credentials are")
    if state.config.role_arn is not None:
        return problem(
            "sts-unreachable",
            f"STS has not let {state.config.role_arn} be assumed within {state.timeout:g} s",
            fix="Let this machine reach STS: a NAT gateway, a proxy, or a VPC endpoint for STS, "
            "which rds_iam_sts_endpoint_url may name",
        )
    return problem(
        "credentials-late",
        f"the provider of the credentials has not answered within {state.timeout:g} s",
        fix="Look at the credential_process, the agent or the portal that provides them",
        commands=("aws sts get-caller-identity --debug",),
    )


def _no_session_in_time(state: State) -> Finding:
    lets_in = "the server lets this user in, but " if state.secret is None else ""
    return problem(
        "driver-late",
        f"{lets_in}the driver has not connected within {state.timeout:g} s",
        fix="Look at connect_args, and at listeners of your own",
    )


_DNS_LATE = _late(
    "dns-late", "DNS has not answered", "Look at this machine's resolver (/etc/resolv.conf)"
)

CHECKS = (
    Check(
        "Options",
        options.examine,
        lambda _: True,
        "",
        _late(
            "options-late",
            "the options could not be looked at",
            "Look at the files they name: a CA bundle on a network drive that hangs",
        ),
    ),
    Check(
        "Name",
        network.examine_name,
        lambda state: bool(state.dialled),
        "the options do not say where to connect",
        _DNS_LATE,
    ),
    Check(
        "Network",
        network.examine_network,
        lambda state: state.target is not None,
        "it is not known where to connect",
        _DNS_LATE,
    ),
    Check(
        "TLS",
        encryption.examine,
        lambda state: state.address is not None,
        "no server answers",
        _late(
            "server-silent",
            "the server has not set up TLS",
            "Look at the server's state and load, and at what is between",
        ),
    ),
    Check(
        "Identity",
        identity.examine,
        lambda state: state.engine is not None and state.config.enabled and not state.secret,
        "the options do not say whose",
        _no_credentials_in_time,
    ),
    Check(
        "Token",
        login.examine_token,
        lambda state: state.credentials is not None and state.target is not None,
        "there are no credentials to sign with, or nothing to sign for",
        _late("token-late", "the token was not signed", "Look at this machine's load"),
    ),
    Check(
        "Login",
        login.examine_login,
        lambda state: state.encrypted and state.token is not None,
        "there is no token, or no verified server to show it to",
        _late(
            "auth-timeout",
            "the server has not answered the login",
            "Look at the server's load and memory",
        ),
    ),
    Check(
        "Database",
        database.examine,
        lambda state: state.logged_in or state.secret is not None,
        "no login was accepted",
        _no_session_in_time,
    ),
)
"""The examination, in the order in which a connect meets what can go wrong."""

_LONGER = {"Login": 3.0}
"""How many times the timeout a check may take that waits for nothing but its own few attempts."""


def examine(
    url: str | URL,
    *,
    timeout: float = 10.0,
    read_log: bool = False,
    tell: Callable[[str], None] | None = None,
    **keywords: Any,
) -> Report:
    """Find out why an engine does not connect, or that nothing is wrong with it.

    It blocks for as long as it takes; from a coroutine call it in a thread.

    Args:
        url: what goes to ``create_engine()``.
        timeout: seconds that one step may take; the login, which is tried again, three times that.
        read_log: look for the server's own reason in CloudWatch (logs:FilterLogEvents), if the
            login is refused and the instance exports its log ``iam-db-auth-error``.
        tell: takes the name of each check as it begins.
        keywords: the keywords of ``create_engine()``, the plugin's options among them.
    """
    state = State(url, keywords, timeout, read_log)
    outcomes = []
    for check in CHECKS:
        if tell is not None:
            tell(check.name)
        outcomes.append(_outcome(check, state))
    # At the end, when every secret is known.
    scrubbed = [_scrubbed(outcome, state) for outcome in outcomes]
    return report(state.scrub(_shown(state)), scrubbed, logged_in=state.logged_in)


def _outcome(check: Check, state: State) -> Outcome:
    if not check.ready(state):
        needs = check.needs if state.secret is None else "there is no token"
        return Outcome(check.name, (Finding(Status.SKIPPED, f"not looked at, as {needs}"),))
    found: list[Finding] = []

    def look() -> None:
        for finding in check.examine(state):
            found.append(finding)  # noqa: PERF402  (what was found counts although it takes too long)

    began = time.monotonic()
    try:
        call_with_timeout(state.timeout * _LONGER.get(check.name, 1.0), look)
    except TimeoutError:
        found.append(check.late(state))
    except Exception as error:  # noqa: BLE001  (an examination that breaks off reports nothing)
        found.append(
            warning(
                "doctor-failed",
                f"this check itself has failed: {type(error).__name__}: {first_line(error)}",
                fix="Please report it, with what is said here",
            )
        )
    return Outcome(check.name, tuple(found), time.monotonic() - began)


def _scrubbed(outcome: Outcome, state: State) -> Outcome:
    return replace(
        outcome,
        findings=tuple(
            replace(
                each,
                summary=state.scrub(each.summary),
                why=state.scrub(each.why),
                evidence=tuple(state.scrub(line) for line in each.evidence if line),
                fix=state.scrub(each.fix),
                commands=tuple(map(state.scrub, each.commands)),
            )
            for each in outcome.findings
        ),
    )


def _shown(state: State) -> str:
    """What is examined, in one line."""
    if state.target is not None:
        through = f", through {state.dialled}:{state.port}" if state.tunnelled else ""
        return f"{state.target.endpoint}{through}"
    try:
        return options.shown(make_url(state.given).set(query={}))
    except ArgumentError:
        return "a URL that cannot be read"
