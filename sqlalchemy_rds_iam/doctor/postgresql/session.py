"""A session of PostgreSQL's: what catalogue and settings show, which every user may read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, text

from sqlalchemy_rds_iam._databases.postgresql_grants import quoted
from sqlalchemy_rds_iam._databases.postgresql_sessions import RULES
from sqlalchemy_rds_iam.doctor.advice import sql
from sqlalchemy_rds_iam.doctor.findings import Finding, note, warning
from sqlalchemy_rds_iam.doctor.limits import Limit, compared
from sqlalchemy_rds_iam.doctor.postgresql.meanings import SESSIONS
from sqlalchemy_rds_iam.doctor.state import State

Seen = Mapping[str, Any]

# Of the sessions of other users pg_stat_activity shows no backend_type, and pg_stat_database counts
# them all. Ours of a moment ago, which may still be ending, are not counted.
_SQL = text(f"""
SELECT session.*, current_user AS who,
  current_setting('server_version') AS version,
  coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS encrypted,
  extract(epoch FROM clock_timestamp())::float8 AS clock,
  current_setting('max_connections')::int AS most,
  current_setting('superuser_reserved_connections')::int
    + coalesce(current_setting('reserved_connections', true), '0')::int
    + coalesce(nullif(current_setting('rds.rds_superuser_reserved_connections', true), ''),
        '0')::int AS reserved,
  (SELECT sum(numbackends) FROM pg_stat_database)::int AS taken,
  (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS user_most,
  (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user
    AND coalesce(backend_type, '') IN ('', 'client backend'))::int AS user_taken,
  current_database() AS database,
  (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS database_most,
  (SELECT numbackends FROM pg_stat_database WHERE datname = current_database())::int
    AS database_taken,
  (SELECT count(*) FROM pg_stat_activity
    WHERE pid = pg_backend_pid() OR application_name = 'rds-iam doctor')::int AS own,
  coalesce((SELECT pg_has_role(current_user, oid, 'member') FROM pg_roles
    WHERE rolname = 'rds_iam'), false) AS uses_iam,
  coalesce((SELECT pg_has_role(current_user, oid, 'member') FROM pg_roles
    WHERE rolname = 'rds_superuser'), false) AS powerful,
  (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS almighty
FROM ({RULES.question}) AS session(standby, read_only, by_user)
""")  # noqa: S608 - the family's own SQL


def look(connection: Connection) -> Seen:
    """Read it all, with one question."""
    seen = connection.execute(_SQL).mappings().one()
    taken = f"{seen['taken']} of {seen['most']}, of which {seen['reserved']} are reserved"
    return {**seen, "sessions": taken}


def look_around(state: State, seen: Seen) -> Iterator[Finding]:
    """The user's power, and the limits."""
    if state.secret is None:
        yield from _membership(state, seen)
    yield from _limits(state, seen)


def _membership(state: State, seen: Seen) -> Iterator[Finding]:
    if seen["powerful"] or seen["almighty"]:
        power = "a superuser" if seen["almighty"] else "a member of rds_superuser"
        yield warning(
            "user-powerful",
            f"{seen['who']!r} is {power}: an attacker in the application has the whole database",
            why="a member of rds_iam cannot log in by password, not even the master user, so a "
            "mistake in IAM shuts every user out",
            fix="Give the application a user of its own",
            commands=(sql("CREATE USER app IN ROLE rds_iam;"),),
        )
    if not seen["uses_iam"] and not state.settled.host.is_proxy and state.by_token:
        yield note(
            f"{seen['who']!r} is not a member of rds_iam, and logged in by token all the same"
        )


def _limits(state: State, seen: Seen) -> Iterator[Finding]:
    who, database, own = seen["who"], seen["database"], seen["own"]
    free = seen["most"] - seen["reserved"]
    limits = [Limit("the server", free, seen["taken"] - own, (SESSIONS,))]
    if seen["user_most"] >= 0 and not seen["almighty"]:
        raised = sql(f"ALTER ROLE {quoted(who)} CONNECTION LIMIT -1;")
        taken = seen["user_taken"] - own
        limits.append(Limit(f"user {who!r}", seen["user_most"], taken, (SESSIONS, raised)))
    if seen["database_most"] >= 0 and not seen["almighty"]:
        raised = sql(f"ALTER DATABASE {quoted(database)} CONNECTION LIMIT -1;")
        most, taken = seen["database_most"], seen["database_taken"] - own
        limits.append(Limit(f"database {database!r}", most, taken, (SESSIONS, raised)))
    yield from compared(state, limits)
