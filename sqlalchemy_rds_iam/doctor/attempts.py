"""Attempts at the server: probes, which send no password, and logins, which are few."""

from __future__ import annotations

import ssl

from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam.doctor.advice import look
from sqlalchemy_rds_iam.doctor.connections import open_door
from sqlalchemy_rds_iam.doctor.findings import Finding, problem
from sqlalchemy_rds_iam.doctor.server_answers import database
from sqlalchemy_rds_iam.doctor.state import MOST_LOGINS, State
from sqlalchemy_rds_iam.doctor.wire import ServerReply

_PROBE, _LOGIN = 0.5, 0.8
"""Of the time that is left for the login: for a question, and for an attempt."""


class TooManyLogins(Exception):  # noqa: N818  (no error: the examination ends with what it knows)
    """As many logins were attempted as one examination may."""


def probe(state: State, user: str) -> ServerReply:
    """What the server asks `user` for.

    Raises:
        OSError: it cannot be asked.
    """
    with open_door(state, state.schedule.left("Login", _PROBE)) as door:
        return door.ask(user, database(state))


def log_in(state: State, token: IssuedPassword) -> ServerReply:
    """Log in with `token` as the user of the URL, if the server asks for one, and leave again.

    Raises:
        OSError: the connection fails.
        TooManyLogins: it was tried often enough.
    """
    if state.logins >= MOST_LOGINS:
        raise TooManyLogins
    state.hide(token.password, token.password.rpartition("=")[2])
    with open_door(state, state.schedule.left("Login", _LOGIN)) as door:
        answer = door.ask(state.settled.endpoint.user, database(state))
        if not answer.wants_token or answer.refused:
            return answer
        state.logins += 1
        answer = door.answer(token.password)
        state.accepted |= answer.accepted
        return answer


def failed(error: OSError) -> Finding:
    """The finding for a connection that breaks in the middle of a login."""
    late = isinstance(error, TimeoutError)
    words = getattr(error, "reason", None) if isinstance(error, ssl.SSLError) else None
    return problem(
        "auth-timeout" if late else "connection-lost",
        "the server did not answer the login in time"
        if late
        else f"the connection breaks during the login: {words or error}",
        fix="Check the server's load: checking a token takes memory that a small, busy instance "
        "does not have"
        if late
        else "Check the server's log and events, and what is in between",
        commands=(look("aws rds describe-events --duration 60"),),
    )
