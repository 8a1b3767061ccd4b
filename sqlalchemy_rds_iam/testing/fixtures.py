"""Pytest fixtures: ``pytest_plugins = ["sqlalchemy_rds_iam.testing.fixtures"]``."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sqlalchemy_rds_iam.testing.account import EmulatedAccount
from sqlalchemy_rds_iam.testing.cluster.cluster import RdsCluster
from sqlalchemy_rds_iam.testing.emulator import RdsEmulator
from sqlalchemy_rds_iam.testing.server import mariadb_programs


@pytest.fixture(scope="session")
def rds_emulator() -> Iterator[RdsEmulator]:
    """One emulator for the whole session, with the database user ``app``.

    Override it in your own conftest.py to have other users, a ceiling or an existing server.
    """
    with RdsEmulator() as emulator:
        yield emulator


@pytest.fixture(scope="session")
def rds_mysql_emulator() -> Iterator[RdsEmulator]:
    """One emulator of MySQL for the whole session, with the database user ``app``.

    Where there is no MariaDB its tests are skipped; it never downloads one. Override it in your own
    conftest.py to have other users, a ceiling or an existing server.
    """
    _skip_without_mariadb()
    with RdsEmulator(engine="mysql") as emulator:
        yield emulator


@pytest.fixture(scope="session")
def rds_cluster_emulator() -> Iterator[RdsCluster]:
    """One cluster for the whole session, with the database user ``app``.

    Override it in your own conftest.py to have other users, or asynchronous replication.
    """
    with RdsCluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def rds_mysql_cluster_emulator() -> Iterator[RdsCluster]:
    """One cluster of MySQL for the whole session, with the database user ``app``.

    Where there is no MariaDB its tests are skipped, as those of `rds_mysql_emulator` are.
    """
    _skip_without_mariadb()
    with RdsCluster(engine="mysql") as cluster:
        yield cluster


@pytest.fixture
def rds_iam_environment(
    rds_emulator: RdsEmulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RdsEmulator]:
    """The emulator without records, faults and secrets; the environment makes it all of AWS."""
    yield from _as_new(rds_emulator, monkeypatch)


@pytest.fixture
def rds_iam_mysql_environment(
    rds_mysql_emulator: RdsEmulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RdsEmulator]:
    """The same of MySQL."""
    yield from _as_new(rds_mysql_emulator, monkeypatch)


@pytest.fixture
def rds_cluster(
    rds_cluster_emulator: RdsCluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RdsCluster]:
    """The cluster with a writer and a standby, as `rds_iam_environment` else; tables stay."""
    yield from _whole_again(rds_cluster_emulator, monkeypatch)


@pytest.fixture
def rds_mysql_cluster(
    rds_mysql_cluster_emulator: RdsCluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RdsCluster]:
    """The same of MySQL."""
    yield from _whole_again(rds_mysql_cluster_emulator, monkeypatch)


def _skip_without_mariadb() -> None:
    try:
        mariadb_programs.find()
    except RuntimeError as missing:
        pytest.skip(str(missing))


def _as_new(emulator: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[RdsEmulator]:
    emulator.clear()
    emulator.gateway.reset()
    _become_all_of_aws(emulator, monkeypatch)
    yield emulator
    emulator.gateway.reset()


def _whole_again(cluster: RdsCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[RdsCluster]:
    cluster.reset()
    _become_all_of_aws(cluster, monkeypatch)
    yield cluster
    cluster.heal()


def _become_all_of_aws(emulator: EmulatedAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator.secrets.clear()
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in emulator.environ().items():
        monkeypatch.setenv(name, value)
