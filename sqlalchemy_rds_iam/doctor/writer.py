"""Whether the endpoint leads to the server that it must: mostly, whether a writer's is a writer."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import make_url

from sqlalchemy_rds_iam._config.options import PLUGINS
from sqlalchemy_rds_iam._config.preconditions import DRIVERS_OWN
from sqlalchemy_rds_iam._databases.session_attrs import Answered
from sqlalchemy_rds_iam._failover.wanted import is_checked, will_do
from sqlalchemy_rds_iam.doctor import manners
from sqlalchemy_rds_iam.doctor.advice import describe, environment, parameter
from sqlalchemy_rds_iam.doctor.findings import Command, Finding, note, ok, problem, warning
from sqlalchemy_rds_iam.doctor.manner import Seen
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.urls import changed

_WRITERS = {"cluster", "global-writer"}
"""Kinds of endpoints that stand for a writer; behind an instance's name there may be a replica."""

_READERS = {"standby", "read-only"}


def examine(state: State, seen: Seen) -> Iterator[Finding]:
    """Compare the server with what the engine wants, or with what the endpoint's name promises.

    Args:
        state: what is known.
        seen: of the session: `Answered`, by its fields.
    """
    wanted = state.wanted
    if not is_checked(wanted):
        kind = state.target.host.kind if state.target is not None else None
        if kind not in _WRITERS:
            return
        wanted = "read-write"
    answered = Answered(seen["standby"], seen["read_only"], seen["by_user"])
    if not will_do(wanted, answered):
        yield _wrong(state, wanted, answered)
        return
    yield ok(f"the server is {wanted}, as it must be")
    if wanted not in _READERS and answered.read_only and answered.by_user:
        yield note(
            f"sessions of {seen['who']!r} are read-only by default: writes fail",
            f"{manners.of(state).read_only[0]} is set by the user, the database or the URL's "
            "options, and not by the server, so the plugin accepts such sessions",
        )


def _without_setting(state: State) -> tuple[Command, ...]:
    """Take back what says which server it must be, in whatever place it is."""
    ours = [f"{plugin}_{DRIVERS_OWN}" for plugin in PLUGINS]
    query = make_url(state.given).query
    if any(name in query for name in (DRIVERS_OWN, *ours)):
        return changed(state, DRIVERS_OWN, *ours)
    if any(name in state.keywords for name in ours) or "connect_args" in state.keywords:
        return ()
    variable = state.settled.driver.target_variable
    return (environment(f"unset {variable}"),) if variable else ()


def _wrong(state: State, wanted: str, answered: Answered) -> Finding:
    if wanted in _READERS:
        code, is_what = "server-primary", "the primary, which is not read-only"
        fix = "Take the setting out, or correct the host: name the reader's endpoint"
        commands = (*_without_setting(state), *describe(state))
    elif answered.standby:
        code, is_what = "server-standby", "a standby, which refuses every write"
        fix = (
            "Wait for the end of a failover: the name then leads to the writer; if there was none, "
            "correct the host"
        )
        commands = describe(state)
    else:
        code, is_what = "server-read-only", "read-only by its own settings, and refuses writes"
        fix = (
            "Wait for the end of a blue/green switchover; if there is none, set the parameter in "
            "the server's parameter group"
        )
        commands = (*parameter(state, *manners.of(state).read_only), *describe(state))
    if is_checked(state.wanted):
        return problem(
            code,
            f"the server is {is_what}, and this engine wants one that is {wanted}",
            why="connects look for such a server until …_failover_timeout is over, and then fail",
            fix=fix,
            commands=commands,
            regardless=True,
        )
    return warning(
        code,
        f"the writer's endpoint leads to a server that is {is_what}",
        why="this engine takes every server: it stays at this one after a failover",
        fix=f"{fix}. The URL below has an engine that waits for the writer",
        commands=(*changed(state, rds_iam_target_session_attrs=wanted), *commands),
    )
