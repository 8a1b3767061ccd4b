"""The table of PostgreSQL's answers: which one means what, and what to do about it.

Sources: PostgreSQL's ``errcodes.txt``, ``auth.c``, ``postinit.c``, ``miscinit.c``; "Troubleshooting
for RDS Proxy" in the RDS user guide.
"""

from __future__ import annotations

import os

from sqlalchemy import make_url

from sqlalchemy_rds_iam._databases.postgresql_grants import membership
from sqlalchemy_rds_iam.doctor.advice import (
    describe,
    enable,
    environment,
    look,
    metric,
    policy,
    shell,
    simulate,
    sql,
)
from sqlalchemy_rds_iam.doctor.findings import Certainty, Command
from sqlalchemy_rds_iam.doctor.meaning import EVENTS, Meaning
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.urls import changed

SESSIONS = sql(
    "SELECT usename, application_name, state, count(*) FROM pg_stat_activity "
    "GROUP BY 1, 2, 3 ORDER BY 4 DESC;"
)
"""Shows who has taken the connections."""


def _grant(state: State) -> tuple[Command, ...]:
    return (sql(f"{membership(state.settled.endpoint.user)};"),)


def _server_errors(state: State) -> tuple[Command, ...]:
    return (metric(state, "IamDbAuthConnectionFailureServerError"),)


def _without_options(state: State) -> tuple[Command, ...]:
    unset = (environment("unset PGOPTIONS"),) if os.environ.get("PGOPTIONS") else ()
    named = "options" in make_url(state.given).query
    return (*unset, *(changed(state, "options") if named else ()))


# The first that fits counts.
MEANINGS = (
    Meaning(
        "3D000",
        "database .* does not exist",
        "database-missing",
        "there is no database {database!r} on this server",
        "Correct the end of the URL, or create the database",
        (
            look("psql -h HOST -U MASTER -l"),
            sql("CREATE DATABASE {database};"),
        ),
        any_words=True,
    ),
    Meaning(
        "42501",
        "permission denied for database",
        "connect-privilege",
        "user {user!r} may not connect to the database {database!r}",
        "Grant it",
        (sql("GRANT CONNECT ON DATABASE {database} TO {user};"),),
        any_words=True,
    ),
    Meaning(
        "55000",
        "not currently accepting connections",
        "database-closed",
        "the database {database!r} accepts no connections (ALLOW_CONNECTIONS is false)",
        "Open it, or connect to another one",
        (sql("ALTER DATABASE {database} ALLOW_CONNECTIONS true;"),),
    ),
    Meaning(
        "28000",
        "not permitted to log in",
        "role-nologin",
        "the role {user!r} is not permitted to log in",
        "Permit it",
        (sql("ALTER ROLE {user} LOGIN;"),),
    ),
    Meaning(
        "28000",
        "(?i)no credentials for the role",
        "proxy-no-secret",
        "the RDS Proxy has no credentials for user {user!r}",
        "Give the proxy a secret for this user, or switch it to end-to-end IAM authentication "
        "(DefaultAuthScheme IAM_AUTH)",
        (
            describe,
            shell(
                "aws rds modify-db-proxy --db-proxy-name NAME --auth SecretArn=ARN,IAMAuth=REQUIRED"
            ),
        ),
    ),
    Meaning(
        "28000",
        "(?i)enable IAM authentication|DefaultAuthScheme|supports only IAM",
        "proxy-without-iam",
        "the RDS Proxy does not take IAM tokens for user {user!r}",
        "Set IAM authentication to Required for this user's entry of the proxy, or use end-to-end "
        "IAM authentication",
        (
            describe,
            shell(
                "aws rds modify-db-proxy --db-proxy-name NAME --auth SecretArn=ARN,IAMAuth=REQUIRED"
            ),
        ),
    ),
    Meaning(
        "28",
        "(?i)requires TLS|only with SSL|no encryption|SSL off",
        "tls-required",
        "the server saw a connection without TLS: something in between takes TLS off",
        "Check what ends TLS between here and the server",
    ),
    Meaning(
        "28000",
        "pg_hba.conf",
        "pg-hba",
        "the server's pg_hba.conf has no line that lets this user in from here: this is another "
        "PostgreSQL than RDS, or a replication connection",
        "Correct host and port; on RDS pg_hba.conf is AWS's",
        (describe,),
    ),
    Meaning(
        "28P01",
        "(?i)IAM authentication failed",
        "policy",
        "the RDS Proxy refuses the token: the identity lacks rds-db:connect for user {user!r} on "
        "the proxy, or IAM is not required for that user",
        "Allow it, on the resource of the proxy (prx-…)",
        (policy, simulate, describe),
        Certainty.LIKELY,
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
        "too many connections for role",
        "connections-exhausted",
        "user {user!r} has as many connections as its CONNECTION LIMIT allows, which may be 0",
        "Raise the limit (-1 is none), or close what is idle",
        (
            sql("ALTER ROLE {user} CONNECTION LIMIT -1;"),
            SESSIONS,
        ),
        routine="InitializeSessionUserId",
    ),
    Meaning(
        "53300",
        "too many connections for database",
        "connections-exhausted",
        "the database {database!r} has as many connections as its CONNECTION LIMIT allows, which "
        "may be 0",
        "Raise the limit (-1 is none), or close what is idle",
        (
            sql("ALTER DATABASE {database} CONNECTION LIMIT -1;"),
            SESSIONS,
        ),
        routine="CheckMyDatabase",
    ),
    Meaning(
        "53300",
        "(?i)too many clients|connection slots|too many connections",
        "connections-exhausted",
        "every connection that this server may have (max_connections) is taken",
        "Close what is idle, make pools smaller (pool_size + max_overflow, times processes), or "
        "put RDS Proxy in between",
        (
            SESSIONS,
            sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle' "
                "AND state_change < now() - interval '10 min';"
            ),
        ),
        any_words=True,
    ),
    Meaning(
        "57P03",
        "the database system is|not accepting connections",
        "server-starting",
        "the server takes no connections at the moment: it starts, stops or recovers",
        "Wait for it, and look at its events",
        (EVENTS, describe),
        any_words=True,
    ),
    Meaning(
        "57P0",
        "terminating connection|shutting down",
        "server-starting",
        "the server ends connections: it is restarted, or fails over",
        "Wait for it, and look at its events",
        (EVENTS, describe),
    ),
    Meaning(
        "",
        "(?i)canceling authentication due to timeout",
        "auth-timeout",
        "the server could not check the token in time (authentication_timeout)",
        "Check the server's load and memory: IAM authentication takes 300 to 1000 MiB of it, "
        "and a small instance that is busy has none to spare",
        (_server_errors, describe),
    ),
    Meaning(
        "08",
        "(?i)timed-out waiting to acquire",
        "connections-exhausted",
        "the RDS Proxy has no database connection to give",
        "Raise MaxConnectionsPercent, or look at what pins its connections",
        (describe,),
    ),
    Meaning(
        "0A000",
        "does ?n.t support|not supported",
        "startup-option",
        "the server or proxy does not take an option that the connection begins with",
        "Leave out what the sentence names",
        (_without_options,),
        any_words=True,
    ),
    Meaning(
        "42704",
        "unrecognized configuration parameter",
        "startup-option",
        "the server does not know a setting that the connection begins with",
        "Leave out what the sentence names: in options= of the URL, in PGOPTIONS, or in ALTER ROLE "
        "… SET",
        (_without_options,),
    ),
    Meaning(
        "28P01",
        "password authentication failed",
        "rds-iam-missing",
        "the server takes a password of user {user!r}, and not a token: the user lacks the role "
        "rds_iam, does not exist, or IAM authentication is off",
        "Grant the role; if the user is a member, switch IAM authentication on",
        (_grant, describe, enable),
        any_words=True,
    ),
)
