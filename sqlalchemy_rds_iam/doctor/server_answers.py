"""What the server's own words mean, wherever they mean one thing.

The tables are the families'. The one answer that means many things, a refused token, is in
`refused_token`.
"""

from __future__ import annotations

import re

from sqlalchemy_rds_iam.doctor import manners
from sqlalchemy_rds_iam.doctor.findings import Command, Finding, problem
from sqlalchemy_rds_iam.doctor.meaning import Meaning
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.wire import ServerReply


def explained(state: State, answer: ServerReply) -> Finding:
    """What an answer means that is not a refused token."""
    found = known(state, answer)
    if found is not None:
        return found
    return problem(
        "server-refused",
        f"the server refuses the connection: {answer.words}",
        evidence=(said(answer),),
        fix="Correct what it says, as the master user if need be",
    )


def known(state: State, answer: ServerReply) -> Finding | None:
    """The same; None for words that mean nothing to us."""
    manner, user = manners.of(state), state.settled.endpoint.user
    names = {"user": user, "database": database(state)}
    for meaning in manner.meanings:
        if _fits(meaning, answer):
            return problem(
                meaning.code,
                meaning.summary.format(**names),
                meaning.certainty,
                evidence=(said(answer),),
                fix=meaning.fix,
                commands=tuple(
                    line
                    for command in meaning.commands
                    for line in _commands(state, command, manner.names(user, names["database"]))
                ),
            )
    return None


def _fits(meaning: Meaning, answer: ServerReply) -> bool:
    # Some drivers tell no code, so that the words alone have to do. The words are in the server's
    # language, and the routine is not.
    if answer.code and not answer.code.startswith(meaning.error):
        return False
    if not answer.code and not meaning.pattern:
        return False
    if meaning.routine and answer.routine == meaning.routine:
        return True
    if answer.code and meaning.any_words:
        return True
    return re.search(meaning.pattern, answer.words) is not None


def said(answer: ServerReply) -> str:
    """The server's words, and when it said them."""
    when = "after it accepted the token" if answer.accepted else "before any authentication"
    if answer.wants_token and not answer.accepted:
        when = "when it got the token"
    code = f" ({answer.code})" if answer.code else ""
    return f"the server, {when}: {answer.words}{code}"


def database(state: State) -> str:
    """The database that is asked for."""
    return manners.of(state).database(state.cparams, state.settled.endpoint.user)


def _commands(state: State, command: object, names: dict[str, str]) -> tuple[Command, ...]:
    if not isinstance(command, Command):
        made: tuple[Command, ...] = command(state)  # type: ignore[operator]
        return made
    return (Command(command.kind, command.text.format(**names)),)
