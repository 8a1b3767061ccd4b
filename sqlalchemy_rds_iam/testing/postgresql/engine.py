"""PostgreSQL, as one of the emulated databases."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from sqlalchemy_rds_iam.testing.database.engines import DatabaseEngine
from sqlalchemy_rds_iam.testing.postgresql.backend import Backend, newest_protocol
from sqlalchemy_rds_iam.testing.postgresql.gateway import PostgresGateway
from sqlalchemy_rds_iam.testing.postgresql.replica import PostgresReplica
from sqlalchemy_rds_iam.testing.postgresql.users import Roles
from sqlalchemy_rds_iam.testing.server.certificates import ALPN
from sqlalchemy_rds_iam.testing.server.postgres import SUPERUSER, Postgres


def _reach(server: Postgres) -> Backend:
    return Backend(SUPERUSER, socket=server.socket)


async def _users(backend: Backend) -> tuple[Backend, Roles]:
    backend = replace(backend, protocol=await newest_protocol(backend))
    return backend, Roles(backend)


POSTGRESQL = DatabaseEngine(
    name="postgresql",
    title="PostgreSQL",
    port=5432,
    driver="psycopg",
    client="psql",
    hosts=("127.0.0.1",),
    alpn=ALPN,
    secret_engine="postgres",  # noqa: S106 - no password
    home="postgres",
    server=Postgres,
    reach=_reach,
    from_url=Backend.from_url,
    users=_users,
    gateway=PostgresGateway,
    replicated=partial(Postgres, replication=True),
    replica=PostgresReplica,
)
