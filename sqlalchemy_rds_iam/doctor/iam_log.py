"""The server's own reason, where it may be read: the ``iam-db-auth-error`` log in CloudWatch.

It has to be exported, and reading it takes logs:FilterLogEvents, so the doctor reads it only if the
user says so. See "Troubleshooting for IAM DB authentication" in the RDS user guide for the reasons.
"""

from __future__ import annotations

import contextlib
import re
import time
from typing import Any

from sqlalchemy_rds_iam._aws.sessions import botocore_session
from sqlalchemy_rds_iam._masking import first_line
from sqlalchemy_rds_iam.doctor.advice import CLOCK, log_group, metric, policy, simulate
from sqlalchemy_rds_iam.doctor.findings import Certainty, Finding, note, problem
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.errors import RdsIamError

PATIENCE, INTERVAL = 8.0, 2.0
"""Seconds to wait for the log to arrive, and between two looks."""

_MOST = 0.8
"""Of the time that is left for the login."""
_BEFORE = 5.0
"""Seconds that an entry may be older than the login: clocks differ."""
_REASON = re.compile(
    r"\b(InvalidToken|ExpiredToken|NotAuthorized|ThrottlingException|InternalError)\b"
)
_MEANINGS = {
    "InvalidToken": (
        "token-invalid",
        "the token is for another endpoint, or its keys do not exist any more",
        "Compare what was signed (the check Token) with the endpoint; then check the keys",
    ),
    "ExpiredToken": (
        "token-expired",
        "the token was older than 15 minutes, or its session expired, by the server's clock",
        "Check this machine's clock, then the session",
    ),
    "NotAuthorized": (
        "policy",
        "the identity is not allowed rds-db:connect as this user on this endpoint",
        "Allow it",
    ),
    "ThrottlingException": (
        "throttled",
        "too many logins a second",
        "Keep connections in the pool, bring processes up slowly, or put RDS Proxy in between",
    ),
    "InternalError": (
        "rds-internal",
        "IAM authentication failed in AWS itself",
        "Try again; look at AWS Health, then ask AWS Support",
    ),
}


def reason(state: State, began: float) -> Finding:
    """What the log says about a login.

    Args:
        state: what is known.
        began: epoch seconds of the login.

    Returns:
        A problem; or a note on why the log says nothing.
    """
    group = log_group(state)
    if group is None:
        return note("the name of this endpoint does not tell which IAM log is its own")
    from botocore import exceptions  # takes a fifth of a second

    try:
        # Who examines may have permissions that the role of the application has not.
        client = botocore_session(state.config.profile).create_client(
            "logs", region_name=state.settled.endpoint.region
        )
        with contextlib.closing(client):
            words = _wait(state, client, group, began)
    except (RdsIamError, exceptions.BotoCoreError, exceptions.ClientError, OSError) as error:
        return note(
            f"could not read the IAM log in CloudWatch: {first_line(error)}", f"log group  {group}"
        )
    if words is None:
        return note(f"no entry in {group} within {PATIENCE:g} s: is it exported?")
    return _problem(state, group, words)


def _wait(state: State, client: Any, group: str, began: float) -> str | None:
    deadline = time.monotonic() + min(PATIENCE, state.schedule.left("Login", _MOST))
    while True:
        answer = client.filter_log_events(
            logGroupName=group, startTime=int((began - _BEFORE) * 1000), limit=100
        )
        found = [str(event["message"]) for event in answer["events"]]
        found = [words for words in found if _REASON.search(words)]
        if found or time.monotonic() + INTERVAL > deadline:
            return found[-1] if found else None
        time.sleep(INTERVAL)


def _problem(state: State, group: str, words: str) -> Finding:
    match = _REASON.search(words)
    assert match is not None
    code, summary, fix = _MEANINGS[match[1]]
    # The entry of another client's login looks like ours, unless it names the user.
    named = state.settled.endpoint.user in words
    commands = {
        "policy": (*policy(state), *simulate(state)),
        "throttled": (metric(state, "IamDbAuthConnectionFailureThrottling"),),
        "token-expired": CLOCK,
    }
    return problem(
        code,
        f"the server's own log says {match[1]}: {summary}",
        Certainty.CERTAIN if named else Certainty.LIKELY,
        evidence=(words.strip()[:500], f"log group  {group}"),
        fix=fix,
        commands=commands.get(code, ()),
    )
