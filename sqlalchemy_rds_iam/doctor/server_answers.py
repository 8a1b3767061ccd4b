"""What the server's own words mean, wherever they mean one thing.

Sources: PostgreSQL's ``errcodes.txt``, ``auth.c``, ``postinit.c``; "Troubleshooting for RDS Proxy"
in the RDS user guide. The one answer that means many things, a refused token, is in `refused`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from sqlalchemy_rds_iam._databases.grants import quoted
from sqlalchemy_rds_iam.doctor.advice import SESSIONS, describe, grant, metric, policy, simulate
from sqlalchemy_rds_iam.doctor.findings import Certainty, Finding, problem
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.wire import CLEARTEXT, ServerReply

LIKELY, CERTAIN = Certainty.LIKELY, Certainty.CERTAIN


class Meaning(NamedTuple):
    """What one answer means.

    Attributes:
        sqlstate: the beginning of its SQLSTATE.
        pattern: found in its text.
        commands: with ``{user}``, ``{database}`` and what `advice` makes, by name.
    """

    sqlstate: str
    pattern: str
    code: str
    summary: str
    fix: str
    commands: tuple[str, ...] = ()
    certainty: Certainty = CERTAIN


# The first that fits counts.
_MEANINGS = (
    Meaning(
        "3D000",
        "",
        "database-missing",
        "there is no database {database!r} on this server",
        "Correct the end of the URL, or create the database",
        ("CREATE DATABASE {database};",),
    ),
    Meaning(
        "42501",
        "",
        "connect-privilege",
        "user {user!r} may not connect to the database {database!r}",
        "Grant it",
        ("GRANT CONNECT ON DATABASE {database} TO {user};",),
    ),
    Meaning(
        "28000",
        "not permitted to log in",
        "role-nologin",
        "the role {user!r} is not permitted to log in",
        "Permit it",
        ("ALTER ROLE {user} LOGIN;",),
    ),
    Meaning(
        "28000",
        "(?i)no credentials for the role",
        "proxy-no-secret",
        "the RDS Proxy has no credentials for user {user!r}",
        "Give the proxy a secret for this user, or switch it to end-to-end IAM authentication "
        "(DefaultAuthScheme IAM_AUTH)",
        ("{describe}",),
    ),
    Meaning(
        "28000",
        "(?i)enable IAM authentication|DefaultAuthScheme|supports only IAM",
        "proxy-without-iam",
        "the RDS Proxy does not take IAM tokens for user {user!r}",
        "Set IAM authentication to Required for this user's entry of the proxy, or use end-to-end "
        "IAM authentication",
        (
            "{describe}",
            "aws rds modify-db-proxy --db-proxy-name NAME --auth SecretArn=ARN,IAMAuth=REQUIRED",
        ),
    ),
    Meaning(
        "28",
        "(?i)requires TLS|only with SSL|no encryption|SSL off",
        "tls-required",
        "the server saw a connection without TLS",
        "Look at what ends TLS between here and the server",
    ),
    Meaning(
        "28000",
        "pg_hba.conf",
        "pg-hba",
        "the server's pg_hba.conf has no line that lets this user in from here",
        "On RDS pg_hba.conf is AWS's: this is another PostgreSQL, or a replication connection",
    ),
    Meaning(
        "28P01",
        "(?i)IAM authentication failed",
        "policy",
        "the RDS Proxy refuses the token: the identity lacks rds-db:connect for user {user!r}, or "
        "IAM is not required for that user",
        "Allow it, on the resource of the proxy (prx-…)",
        ("{policy}", "{simulate}", "{describe}"),
        LIKELY,
    ),
    Meaning(
        "53300",
        "(?i)competing requests|rate of connection|rate limit",
        "throttled",
        "the RDS Proxy takes no more new connections a second at the moment",
        "Keep connections in the pool, and bring them up slowly (rds_iam_connect_rate)",
    ),
    Meaning(
        "53300",
        "",
        "connections-exhausted",
        "every connection that this server, database or user may have is taken",
        "Close what is idle, make pools smaller (pool_size + max_overflow, times processes), or "
        "put RDS Proxy in between",
        (
            SESSIONS,
            "SELECT rolname, rolconnlimit FROM pg_roles WHERE rolconnlimit >= 0;",
        ),
    ),
    Meaning(
        "57P03",
        "",
        "server-starting",
        "the server takes no connections at the moment: it starts, stops or recovers",
        "Wait for it, and look at its events",
        ("aws rds describe-events --duration 60", "{describe}"),
    ),
    Meaning(
        "",
        "(?i)canceling authentication due to timeout",
        "auth-timeout",
        "the server could not check the token in time (authentication_timeout)",
        "Look at the server's load and memory: IAM authentication takes 300 to 1000 MiB of it, "
        "and a small instance that is busy has none to spare",
        ("{metric:IamDbAuthConnectionFailureServerError}", "{describe}"),
    ),
    Meaning(
        "08",
        "(?i)timed-out waiting to acquire",
        "connections-exhausted",
        "the RDS Proxy has no database connection to give",
        "Raise MaxConnectionsPercent, or look at what pins its connections",
        ("{describe}",),
    ),
    Meaning(
        "0A000",
        "",
        "startup-option",
        "the server or proxy does not know an option that the connection begins with",
        "Leave out what the sentence names",
    ),
    Meaning(
        "28P01",
        "",
        "rds-iam-missing",
        "the server takes a password of user {user!r}, and no token: the user lacks the role "
        "rds_iam, does not exist, or IAM authentication is off",
        "Grant the role; if the user is a member, switch IAM authentication on",
        ("{grant}", "{describe}"),
    ),
)


def explained(state: State, answer: ServerReply) -> Finding:
    """What an answer means that is no refused token."""
    user = state.settled.endpoint.user
    known = {"user": user, "database": database(state)}
    for meaning in _MEANINGS:
        if answer.sqlstate.startswith(meaning.sqlstate) and re.search(
            meaning.pattern, answer.words
        ):
            return problem(
                meaning.code,
                meaning.summary.format(**known),
                meaning.certainty,
                evidence=(said(answer),),
                fix=meaning.fix,
                commands=tuple(
                    line for command in meaning.commands for line in _command(state, command, known)
                ),
            )
    return problem(
        "server-refused",
        "the server refuses the connection for a reason of its own",
        evidence=(said(answer),),
        fix="See what it says",
    )


def is_refused_token(answer: ServerReply) -> bool:
    """Whether this is the one answer that means many things."""
    # The words are in the server's language, the routine is not.
    failed = "PAM authentication failed" in answer.words or answer.fields.get("R") == "auth_failed"
    return answer.sqlstate == "28000" and answer.method == CLEARTEXT and failed


def said(answer: ServerReply) -> str:
    """The server's words, and when it said them."""
    when = "after the token was accepted" if answer.accepted else "before it accepted anybody"
    if answer.method == CLEARTEXT and not answer.accepted:
        when = "when it was shown the token"
    return f"the server, {when}: {answer.words} ({answer.sqlstate})"


def database(state: State) -> str:
    """The database that is asked for; PostgreSQL's default is one of the user's name."""
    named = state.cparams.get("dbname") or state.cparams.get("database")
    return str(named or state.settled.endpoint.user)


def _command(state: State, command: str, known: dict[str, str]) -> tuple[str, ...]:
    match command.strip("{}").partition(":"):
        case ("describe", *_):
            return describe(state)
        case ("policy", *_):
            return policy(state)
        case ("simulate", *_):
            return simulate(state)
        case ("grant", *_):
            return (grant(known["user"]),)
        case ("metric", _, name):
            return (metric(state, name),)
    return (command.format(**{name: quoted(text) for name, text in known.items()}),)
