"""MySQL, as one of the emulated databases: a MariaDB stands for both."""

from __future__ import annotations

from sqlalchemy_rds_iam.testing.database.engines import DatabaseEngine
from sqlalchemy_rds_iam.testing.mysql.backend import Backend
from sqlalchemy_rds_iam.testing.mysql.gateway import MySqlGateway
from sqlalchemy_rds_iam.testing.mysql.replica import MariaDbReplica
from sqlalchemy_rds_iam.testing.mysql.users import Accounts
from sqlalchemy_rds_iam.testing.server.mariadb import SUPERUSER, MariaDb
from sqlalchemy_rds_iam.testing.server.mariadb_cluster import ClusterMariaDb


def _reach(server: MariaDb) -> Backend:
    return Backend(SUPERUSER, server.password, socket=server.socket, key=server.password)


async def _users(backend: Backend) -> tuple[Backend, Accounts]:
    return backend, Accounts(backend)


MYSQL = DatabaseEngine(
    name="mysql",
    title="MySQL",
    port=3306,
    driver="pymysql",
    client="mariadb",
    # The C drivers take 127.0.0.1 for local, and Connector/C 3.4 verifies no name then.
    hosts=("127.0.0.1", "127.0.0.2"),
    alpn=None,
    secret_engine="mysql",  # noqa: S106 - no password
    home="test",
    server=MariaDb,
    reach=_reach,
    from_url=Backend.from_url,
    users=_users,
    gateway=MySqlGateway,
    replicated=ClusterMariaDb,
    replica=MariaDbReplica,
)
