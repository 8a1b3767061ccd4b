"""PostgreSQL: how the doctor deals with it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from sqlalchemy_rds_iam._databases.postgresql import POSTGRESQL as FAMILY
from sqlalchemy_rds_iam._databases.postgresql_grants import membership, quoted
from sqlalchemy_rds_iam.doctor.advice import describe, enable, look, sql
from sqlalchemy_rds_iam.doctor.findings import Command, Finding, problem
from sqlalchemy_rds_iam.doctor.manner import Manner, Words
from sqlalchemy_rds_iam.doctor.postgresql import session
from sqlalchemy_rds_iam.doctor.postgresql.meanings import MEANINGS
from sqlalchemy_rds_iam.doctor.postgresql.wire import PostgresDoor
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.wire import ServerReply

_DU = "\\du"
"""psql's command that shows a user and the roles it is a member of."""


def _is_refused_token(answer: ServerReply) -> bool:
    failed = "PAM authentication failed" in answer.words or answer.routine == "auth_failed"
    return answer.code == "28000" and answer.wants_token and failed


def _reply(error: BaseException) -> ServerReply:
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""
    said = str(error)
    if error.args and isinstance(error.args[0], dict):  # pg8000
        state, said = error.args[0].get("C", ""), error.args[0].get("M", "")
    return ServerReply(accepted=True, code=str(state), words=said)


def _no_token(state: State, evidence: tuple[str, ...]) -> Finding:
    user = state.settled.endpoint.user
    return problem(
        "rds-iam-missing",
        f"the server asks {user!r} for a password, not for a token: the user lacks the role "
        "rds_iam, does not exist, or IAM authentication is off",
        why="the server does not tell clients which of them it is",
        evidence=evidence,
        fix="Grant the role, as the master user; if there is no such user, create it first; if it "
        "is a member already, switch IAM authentication on",
        commands=(
            look(f"psql -c {shlex.quote(f'{_DU} {user}')}"),
            sql(f"{membership(user)};"),
            sql(f"CREATE USER {quoted(user)} IN ROLE rds_iam;"),
            *describe(state),
            *enable(state),
        ),
    )


def _client(host: str, port: int) -> Command:
    return look(f"psql {shlex.quote(f'host={host} port={port} sslmode=require')}")


def _names(user: str, database: str) -> dict[str, str]:
    return {"user": quoted(user), "database": quoted(database)}


def _database(cparams: Mapping[str, Any], user: str) -> str:
    """PostgreSQL's default is one of the user's name."""
    return str(cparams.get("dbname") or cparams.get("database") or user)


POSTGRESQL = Manner(
    FAMILY,
    Words(
        case="CREATE USER makes it lower case unless it is quoted",
        asked="so it is a member of rds_iam",
        pooler="PgBouncer",
        pooler_tls="client_tls_sslmode",
        early="a PostgreSQL that cannot start a process for a client says so in clear",
        buffers="poolers and proxies keep passwords in buffers of 128, 160, 256 or 1024 "
        "characters, and a token has its signature at the end",
        starttls="postgres",
        stranger="not-postgres",
    ),
    PostgresDoor,
    MEANINGS,
    is_refused_token=_is_refused_token,
    reply=_reply,
    wanted_password=lambda said: "password authentication failed" in said,
    names=_names,
    database=_database,
    no_token=_no_token,
    client=_client,
    verification=lambda arguments: (arguments["sslmode"], arguments.get("sslrootcert")),
    look=session.look,
    look_around=session.look_around,
    variables=r"PG[A-Z]{4,}",
    # What the URL always says, or the plugin.
    idle=frozenset(
        {"PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGDATABASE", "PGDATA"}
    ),
    tls_words=(
        *("sslmode", "ssl", "ssl_context", "sslnegotiation", "ssl_min_protocol_version"),
        "gssencmode",
    ),
    read_only=("default_transaction_read_only", "off"),
)
