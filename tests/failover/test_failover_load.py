"""Failovers under load: what is reported as done is there, and writes go on by themselves."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal

import pytest
from failover_support import LATE, Load, aside, follow, looks, rows, write, write_at_last
from patience import eventually
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError
from worlds import Database, on

from sqlalchemy_rds_iam import Event, rds_iam_stats
from sqlalchemy_rds_iam.testing import RdsCluster

KINDS: list[bool | Literal["restart"]] = [True, "restart", False]
NAMES = ["killed", "restarted", "read-only"]


@pytest.mark.parametrize("kill", KINDS, ids=NAMES)
def test_nothing_is_lost(
    cluster: RdsCluster, writer: Callable[..., Database], kill: bool | Literal["restart"]
) -> None:
    """Only what was in flight fails, once, as a disconnect; the rest waits for the new writer."""
    events: list[Event] = []
    database = writer(
        pool_pre_ping=True, pool_size=8, pool_timeout=60, rds_iam_on_event=events.append
    )
    process = os.getpid()
    with Load(database) as load:
        cluster.failover(lag=LATE, kill=kill)
        looks(database, attempts=2)
        follow(cluster)
        eventually(lambda: load.all_wrote(cluster.names.moved_at), "writes do not go on")
    assert load.reported <= rows(cluster)
    assert len(load.errors) <= load.size
    assert len({each.worker for each in load.errors}) == len(load.errors)
    for each in load.errors:
        assert isinstance(each.error, DBAPIError), each.error
        assert each.error.connection_invalidated, each.error
    kinds = [event.kind for event in events if event.kind.startswith("failover")]
    assert kinds == ["failover_begun", "failover_ended"] * (len(kinds) // 2)
    assert kinds
    assert rds_iam_stats(database.engine).failovers == len(kinds) // 2
    assert os.getpid() == process


def test_a_switch_over(cluster: RdsCluster, writer: Callable[..., Database]) -> None:
    """The same of one in good order, whose name follows late."""
    database = writer(pool_pre_ping=True, pool_size=8, pool_timeout=60)
    with Load(database) as load:
        cluster.switch_over(lag=LATE)
        looks(database)
        follow(cluster)
        eventually(lambda: load.all_wrote(cluster.names.moved_at), "writes do not go on")
    assert load.reported <= rows(cluster)
    assert len(load.errors) <= load.size
    assert all(getattr(each.error, "connection_invalidated", False) for each in load.errors)


@on("psycopg", "asyncpg", "pymysql")
@pytest.mark.parametrize("kill", KINDS, ids=NAMES)
def test_by_a_secret(
    cluster: RdsCluster,
    world: tuple[str, bool],
    databases: Callable[..., Database],
    kill: bool | Literal["restart"],
) -> None:
    """The plugin rds_secret does the same."""
    host, port = cluster.names.cluster.address
    cluster.secrets.create("prod/app", "keeper", database="app")
    query = {
        "plugin": "rds_secret",
        "rds_secret_id": "prod/app",
        "rds_secret_host": cluster.names.cluster.signed.host,
        "rds_secret_region": cluster.names.cluster.signed.region,
        "rds_secret_conflict": "url",
        "rds_secret_ca": str(cluster.ca_file),
        "rds_secret_target_session_attrs": "read-write",
    }
    url = URL.create(world[0], host=host, port=port, database="app", query=query)
    database = databases(url, is_async=world[1])
    write(database, 1)
    cluster.failover(lag=LATE, kill=kill)
    with aside(lambda: write_at_last(database, 2)) as writing:
        looks(database)
        assert not writing.done()
        follow(cluster)
    assert writing.result().connection_invalidated
    assert rows(cluster) == {1, 2}
