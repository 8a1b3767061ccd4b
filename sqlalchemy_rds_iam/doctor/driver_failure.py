"""The driver fails where a login by hand has worked: throttling, a limit, or the driver itself."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from sqlalchemy_rds_iam._config.urls import plugin_names
from sqlalchemy_rds_iam.doctor import manners, refused_token
from sqlalchemy_rds_iam.doctor.advice import environment
from sqlalchemy_rds_iam.doctor.findings import Certainty, Command, Finding, problem
from sqlalchemy_rds_iam.doctor.manner import Seen
from sqlalchemy_rds_iam.doctor.server_answers import known
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.urls import PLUGIN_WORDS, changed

_HALF = 0.5


class Examined(NamedTuple):
    """What came of it.

    Attributes:
        findings: why the driver failed.
        seen: what the database says, if another attempt worked.
    """

    findings: list[Finding]
    seen: Seen | None = None


def examine(state: State, error: Exception, again: Callable[[], Seen]) -> Examined:
    """Find out why the driver has failed.

    Args:
        state: what is known.
        error: SQLAlchemy's, or the driver's.
        again: connects once more.
    """
    if state.accepted and _is_refused_token(state, error):
        return _throttled(state, error, again)
    found = known(state, manners.of(state).reply(cause_of(error)))
    # A login by hand has worked, and that of the application does not.
    return Examined([replace(found, regardless=True) if found else _failed(state, error)])


def words(error: Exception) -> list[str]:
    """What the driver says, line by line."""
    cause = cause_of(error)
    return str(cause).strip().splitlines() or [type(cause).__name__]


def cause_of(error: Exception) -> BaseException:
    """The driver's own error."""
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def _is_refused_token(state: State, error: Exception) -> bool:
    manner, said = manners.of(state), " ".join(words(error))
    return manner.family.is_refusal(cause_of(error)) and not manner.wanted_password(said)


def _throttled(state: State, error: Exception, again: Callable[[], Seen]) -> Examined:
    """The server has accepted the same user's token a moment ago: only time has passed."""
    time.sleep(min(refused_token.PAUSE, state.schedule.left("Database", _HALF)))
    state.logins += 1
    evidence = ["the first login was accepted", f"the next, by the driver: {words(error)[0]}"]
    seen, later = None, ""
    try:
        seen = again()
        evidence.append("the one after a pause was accepted")
    except (SQLAlchemyError, OSError) as failure:
        later = words(failure)[0]
        evidence.append(f"the one after a pause: {later}")
    finding = refused_token.throttled(
        state, "the server accepted one login, and refused the next", tuple(evidence)
    )
    findings = [finding]
    if seen is None:
        findings.append(_failed(state, error, Certainty.POSSIBLE))
    return Examined(findings, seen)


def _failed(state: State, error: Exception, certainty: Certainty = Certainty.CERTAIN) -> Finding:
    assert state.engine is not None
    lines, manner = words(error), manners.of(state)
    variables = sorted(
        name
        for name in os.environ
        if re.fullmatch(manner.variables, name) and name not in manner.idle
    )
    return problem(
        "driver-failed",
        f"the server accepts this user's token, but the driver fails: {lines[0]}",
        certainty,
        evidence=(*lines[1:4], *(f"{name} is set" for name in variables)),
        fix="Leave out what the driver names: a variable of its environment, an argument of the "
        "URL or of connect_args; then check listeners of your own",
        commands=(
            *([environment(f"unset {' '.join(variables)}")] if variables else []),
            *_without_arguments(state),
        ),
        regardless=True,
    )


def _without_arguments(state: State) -> tuple[Command, ...]:
    """The URL without the driver's own arguments."""
    query = make_url(state.given).query
    ours = tuple(f"{name}_" for name in plugin_names(query))
    own = [name for name in query if name not in PLUGIN_WORDS and not name.startswith(ours)]
    return changed(state, *own) if own else ()
