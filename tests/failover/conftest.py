"""Fixtures of failovers: one cluster of each family for all tests, made whole before each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from failover_support import TABLE
from families import Words
from worlds import Database

from sqlalchemy_rds_iam._connecting import failover
from sqlalchemy_rds_iam._failover import server_search
from sqlalchemy_rds_iam._ratelimit import registry
from sqlalchemy_rds_iam.testing import RdsCluster
from sqlalchemy_rds_iam.testing.server import mariadb_programs


@pytest.fixture(scope="session")
def running_clusters() -> Iterator[Callable[[Words], RdsCluster]]:
    """A primary and a standby of a family, with a table that everybody may write to."""
    found: dict[str, RdsCluster] = {}

    def running(words: Words) -> RdsCluster:
        if words.family not in found:
            made = running_all.enter_context(RdsCluster(engine=words.family))
            for statement in words.open_table:
                made.execute(statement.format(TABLE), "app")
            found[words.family] = made
        return found[words.family]

    with ExitStack() as running_all:
        yield running


@pytest.fixture(autouse=True)
def _errors_are_translated(request: pytest.FixtureRequest) -> None:
    """Old versions of SQLAlchemy pass on what asyncpg says of a session that the server has ended.

    So it is no disconnect, for SQLAlchemy as for the plugin.
    """
    drivername, _ = request.getfixturevalue("world") if "world" in request.fixturenames else ("", 0)
    if drivername.endswith("asyncpg"):
        from sqlalchemy.dialects.postgresql import asyncpg

        if not hasattr(asyncpg.AsyncAdapt_asyncpg_dbapi, "InternalClientError"):
            pytest.skip("this SQLAlchemy does not translate asyncpg's InternalClientError")


@pytest.fixture
def cluster(
    running_clusters: Callable[[Words], RdsCluster], words: Words, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RdsCluster]:
    """The cluster with a writer, a standby, an empty table, and names that lead to them."""
    if words.family == "mysql":
        try:
            mariadb_programs.find()
        except RuntimeError as missing:
            pytest.skip(str(missing))
    running_cluster = running_clusters(words)
    running_cluster.reset()
    running_cluster.secrets.clear()
    running_cluster.execute(f"TRUNCATE {TABLE}", "app")
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in running_cluster.environ().items():
        monkeypatch.setenv(name, value)
    # An engine that is not collected yet would hand its search on.
    failover._searches.clear()
    registry._limiters.clear()
    monkeypatch.setattr(server_search, "INTERVAL", 0.1)
    yield running_cluster
    running_cluster.heal()


@pytest.fixture
def writer(
    cluster: RdsCluster, world: tuple[str, bool], databases: Callable[..., Database]
) -> Callable[..., Database]:
    """Make a database of this test's driver and world at the writer endpoint, for writes."""
    drivername, is_async = world

    def make(*, wants: str | None = "read-write", url: Any = None, **kwargs: Any) -> Database:
        if wants is not None:
            kwargs["rds_iam_target_session_attrs"] = wants
        return databases(url or cluster.writer_url(drivername), is_async=is_async, **kwargs)

    return make
