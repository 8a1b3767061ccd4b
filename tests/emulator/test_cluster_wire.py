"""What clients of a cluster see and send: reported values, forged ones, silence, and the counts."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import pg8000.dbapi
import psycopg
import psycopg2
import pytest
from emulator_support import libpq, libpq_at, sign
from patience import DEADLINE, SOON, eventually
from sqlalchemy import NullPool
from worlds import POSTGRESQL, WORLDS, Database

from sqlalchemy_rds_iam.testing import ClusterEndpoint, RdsCluster, RdsEmulator

STATUS = ("in_hot_standby", "default_transaction_read_only")


def reported(connection: Any) -> list[str | None]:
    """The two values, as the server has told them last."""
    return [connection.info.parameter_status(name) for name in STATUS]


def open_at(cluster: RdsCluster, endpoint: ClusterEndpoint, **changes: Any) -> Any:
    """A connection in autocommit mode."""
    return psycopg.connect(**libpq_at(cluster, endpoint, autocommit=True, **changes))


@contextmanager
def healed(cluster: RdsCluster) -> Iterator[None]:
    """End partitions before the connections of a test that fails are closed, or it would hang."""
    try:
        yield
    finally:
        cluster.heal()


def test_live_sessions_are_told(rds_cluster: RdsCluster) -> None:
    """A promoted server, and one that became read-only, say so with their next answer."""
    names = rds_cluster.names
    with open_at(rds_cluster, names.cluster) as old, open_at(rds_cluster, names.reader) as new:
        assert [reported(old), reported(new)] == [["off", "off"], ["on", "off"]]
        rds_cluster.failover(kill=False)
        assert [reported(old), reported(new)] == [["off", "off"], ["on", "off"]]
        for each in (old, new):
            each.execute("SELECT 1")
        assert [reported(old), reported(new)] == [["off", "on"], ["off", "off"]]


def test_a_stale_status_is_forged(rds_cluster: RdsCluster) -> None:
    """At the start and later on, in each driver; what is asked for is the server's own answer."""
    names, gateway = rds_cluster.names, rds_cluster.writer.gateway
    gateway.forged_status = {"in_hot_standby": "on"}
    with open_at(rds_cluster, names.cluster) as live:
        assert reported(live) == ["on", "off"]
        assert live.execute("SHOW in_hot_standby").fetchone() == ("off",)
        gateway.forged_status = {"default_transaction_read_only": "off"}
        live.execute("SET default_transaction_read_only = on")
        assert reported(live) == ["on", "off"]
        gateway.reset()
        live.execute("RESET default_transaction_read_only")
        live.execute("SET default_transaction_read_only = on")
        assert reported(live) == ["on", "on"]


def test_a_status_is_kept_from_clients(rds_cluster: RdsCluster) -> None:
    """As by a server of before PostgreSQL 14; the rest of the start-up comes as always."""
    cluster = rds_cluster
    cluster.writer.gateway.forged_status = dict.fromkeys(STATUS)
    arguments = libpq_at(cluster, cluster.names.cluster)
    with psycopg.connect(**arguments) as one:
        assert reported(one) == [None, None]
        assert one.info.parameter_status("client_encoding") == "UTF8"
    other = psycopg2.connect(**arguments)
    assert [other.get_parameter_status(name) for name in STATUS] == [None, None]
    other.close()


def test_a_status_is_forged_without_a_cluster(rds_iam_environment: RdsEmulator) -> None:
    """The one server of an emulator can be told to lie, too."""
    rds = rds_iam_environment
    rds.gateway.forged_status = {"in_hot_standby": "on"}
    with psycopg.connect(**libpq(rds)) as connection:
        assert reported(connection) == ["on", "off"]
    rds.gateway.reset()
    with psycopg.connect(**libpq(rds)) as connection:
        assert reported(connection) == ["off", "off"]


def test_a_partition_is_silent(rds_cluster: RdsCluster) -> None:
    """Connections stay open without an answer, new ones hang, and a dead server is not noticed."""
    cluster, old = rds_cluster, rds_cluster.writer.number
    instance, answers = cluster.names.instance(old), threading.Event()
    failure: list[BaseException] = []

    def wait_for_an_answer(connection: Any) -> None:
        try:
            connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            failure.append(error)
        answers.set()

    with open_at(cluster, instance) as live, healed(cluster):
        cluster.partition()
        thread = threading.Thread(target=wait_for_an_answer, args=(live,))
        thread.start()
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            open_at(cluster, cluster.names.cluster, connect_timeout=2)
        assert len(cluster.writer.decisions) == 1
        cluster.failover(kill=True)
        with open_at(cluster, cluster.names.cluster) as connection:
            assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
        # Nothing refuses in the place of a server that cannot be reached.
        assert not instance.refuses
        assert not answers.is_set()
        cluster.heal()
        assert answers.wait(DEADLINE)
        thread.join(DEADLINE)
    assert failure
    assert instance.refuses


def test_a_partition_that_heals(rds_cluster: RdsCluster) -> None:
    """What was asked is answered then, and a login that hung goes on."""
    cluster = rds_cluster
    found: list[Any] = []

    def ask(connection: Any) -> None:
        found.append(connection.execute("SELECT 1").fetchone())

    def log_in() -> None:
        with open_at(cluster, cluster.names.reader) as connection:
            ask(connection)

    with open_at(cluster, cluster.names.reader) as live, healed(cluster):
        cluster.partition(cluster.standby)
        threads = [threading.Thread(target=ask, args=(live,)), threading.Thread(target=log_in)]
        for thread in threads:
            thread.start()
        eventually(lambda: cluster.names.reader.traffic.connects == 2)
        with open_at(cluster, cluster.names.cluster) as connection:
            ask(connection)
        assert found == [(1,)]
        cluster.heal()
        for thread in threads:
            thread.join(DEADLINE)
    assert found == [(1,)] * 3


def test_a_client_that_leaves_a_partition(rds_cluster: RdsCluster) -> None:
    """The server does not notice it either, and keeps the session until the partition heals."""
    cluster, there = rds_cluster, rds_cluster.writer
    sessions = "SELECT 1 FROM pg_stat_activity WHERE usename = 'app'"
    live = open_at(cluster, cluster.names.cluster)
    eventually(lambda: len(cluster.execute(sessions, member=there)) == 1)
    cluster.partition()
    # Without a goodbye, which would be swallowed as well.
    with socket.socket(fileno=os.dup(live.fileno())) as sock:
        sock.shutdown(socket.SHUT_RDWR)
    for _ in range(3):  # so that the gateway has had the time to
        open_at(cluster, cluster.names.reader).close()
        assert len(cluster.execute(sessions, member=there)) == 1
    cluster.heal()
    eventually(lambda: not cluster.execute(sessions, member=there))
    live.close()


def test_round_trips_are_counted(rds_cluster: RdsCluster) -> None:
    """One for a simple query, one for a prepared one, none for the login, at one endpoint only."""
    cluster = rds_cluster
    traffic = cluster.names.cluster.traffic
    with open_at(cluster, cluster.names.cluster, prepare_threshold=None) as connection:
        assert (traffic.connects, traffic.logins, traffic.round_trips) == (1, 1, 0)
        connection.execute("SELECT 1")
        assert traffic.round_trips == 1
        connection.execute("SELECT %s", (1,))
        assert traffic.round_trips == 2
        assert traffic.messages["Q"] == 1
        assert traffic.messages["S"] == 1
    eventually(lambda: traffic.messages["X"] == 1)
    assert cluster.names.reader.traffic.connects == 0
    with pytest.raises(psycopg.OperationalError):
        open_at(cluster, cluster.names.cluster, password="no token")
    assert (traffic.connects, traffic.logins) == (2, 1)
    cluster.clear()
    assert (traffic.connects, traffic.logins, traffic.round_trips) == (0, 0, 0)
    assert not traffic.messages


def test_the_kernel_refuses_where_there_is_no_server(rds_cluster: RdsCluster) -> None:
    """A killed server's port is taken, and refuses; it is the same port when it is back."""
    cluster = rds_cluster
    instance = cluster.names.instance(cluster.writer.number)
    address = instance.address
    socket.create_connection(address, SOON).close()
    cluster.failover(kill=True)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, SOON)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(address)
    cluster.rejoin()
    assert instance.address == address
    open_at(cluster, instance).close()


def test_each_driver_finds_its_way(rds_cluster: RdsCluster) -> None:
    """Asyncpg and pg8000 read the two values, too, of a reader."""
    cluster, reader = rds_cluster, rds_cluster.names.reader
    host, port = reader.address
    login: dict[str, Any] = {"host": host, "port": port, "user": "app", "database": "app"}
    login["password"] = sign(cluster.key, reader.signed)
    context = ssl.create_default_context(cafile=str(cluster.ca_file))
    plain = pg8000.dbapi.connect(**login, ssl_context=context)
    assert plain.parameter_statuses["in_hot_standby"] == "on"
    plain.close()

    async def in_tasks() -> str:
        connection = await asyncpg.connect(**login, ssl=context)
        value: str = connection.get_settings().in_hot_standby
        await connection.close()
        return value

    assert asyncio.run(in_tasks()) == "on"


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """A resolver for one name, which leads to the address it was last told."""
    look_up = socket.getaddrinfo
    asked: list[str] = []
    records: dict[Any, str] = {}

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        if host in records:
            asked.append(host)
        return look_up(records.get(host, host), *arguments, **options)

    def point(name: str, address: str) -> list[str]:
        records[name] = address
        return asked

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return point


@pytest.mark.parametrize("world", sorted({*POSTGRESQL} - {"psycopg2"}))  # it asks the C library
def test_the_name_is_looked_up_at_each_connect(
    rds_cluster: RdsCluster,
    resolver: Callable[..., list[str]],
    databases: Callable[..., Database],
    world: str,
) -> None:
    """With a resolver instead of endpoints that move: a new connection goes where the name does."""
    cluster, signed = rds_cluster, rds_cluster.names.cluster.signed
    doors = [ClusterEndpoint(signed, member) for member in cluster.members]
    cluster._call(doors[0].start(["127.0.0.2"]))
    port = doors[0].address[1]
    cluster._call(doors[1].start(["127.0.0.3"], port))
    driver, is_async = WORLDS[world]
    url = cluster.writer_url(driver).set(host=signed.host, port=port)
    database = databases(url, is_async=is_async, poolclass=NullPool)
    try:
        for address, door in (("127.0.0.2", doors[0]), ("127.0.0.3", doors[1])) * 2:
            before, connects = len(resolver(signed.host, address)), door.traffic.connects
            in_recovery = database.scalar("SELECT pg_is_in_recovery()")
            assert in_recovery == (door.target is cluster.standby)
            assert len(resolver(signed.host, address)) > before
            assert door.traffic.connects > connects
    finally:
        for door in doors:
            cluster._call(door.stop())
