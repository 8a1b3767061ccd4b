"""What the server's own words mean, wherever they mean one thing.

Sources: PostgreSQL's ``errcodes.txt``, ``auth.c``, ``postinit.c``, ``miscinit.c``; "Troubleshooting
for RDS Proxy" in the RDS user guide. The one answer that means many things, a refused token, is in
`refused_token`.
"""

from __future__ import annotations

import re

from sqlalchemy_rds_iam._databases.postgresql_grants import quoted
from sqlalchemy_rds_iam.doctor.answer_meanings import MEANINGS, Meaning
from sqlalchemy_rds_iam.doctor.findings import Command, Finding, problem
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.wire import CLEARTEXT, ServerReply


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
    names = {"user": state.settled.endpoint.user, "database": database(state)}
    for meaning in MEANINGS:
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
                    for line in _commands(state, command, names)
                ),
            )
    return None


def _fits(meaning: Meaning, answer: ServerReply) -> bool:
    # Drivers on libpq tell no SQLSTATE, so that the words alone have to do. The words are in the
    # server's language, and the routine, in the field R, is not.
    if answer.sqlstate and not answer.sqlstate.startswith(meaning.sqlstate):
        return False
    if not answer.sqlstate and not meaning.pattern:
        return False
    if meaning.routine and answer.fields.get("R") == meaning.routine:
        return True
    if answer.sqlstate and meaning.any_words:
        return True
    return re.search(meaning.pattern, answer.words) is not None


def is_refused_token(answer: ServerReply) -> bool:
    """Whether this is the one answer that means many things."""
    failed = "PAM authentication failed" in answer.words or answer.fields.get("R") == "auth_failed"
    return answer.sqlstate == "28000" and answer.method == CLEARTEXT and failed


def said(answer: ServerReply) -> str:
    """The server's words, and when it said them."""
    when = "after it accepted the token" if answer.accepted else "before any authentication"
    if answer.method == CLEARTEXT and not answer.accepted:
        when = "when it got the token"
    state = f" ({answer.sqlstate})" if answer.sqlstate else ""
    return f"the server, {when}: {answer.words}{state}"


def database(state: State) -> str:
    """The database that is asked for; PostgreSQL's default is one of the user's name."""
    named = state.cparams.get("dbname") or state.cparams.get("database")
    return str(named or state.settled.endpoint.user)


def _commands(state: State, command: object, names: dict[str, str]) -> tuple[Command, ...]:
    if not isinstance(command, Command):
        made: tuple[Command, ...] = command(state)  # type: ignore[operator]
        return made
    by_name = {name: quoted(text) for name, text in names.items()}
    return (Command(command.kind, command.text.format(**by_name)),)
