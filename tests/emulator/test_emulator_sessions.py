"""A session through the gateway is a session: transactions, bulk data, cancel, sudden ends."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
import threading
from typing import Any

import asyncpg
import psycopg
import pytest
from emulator_support import libpq, with_context
from patience import DEADLINE, eventually

from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.database.relay import relay
from sqlalchemy_rds_iam.testing.postgresql import wire


def sessions(rds: RdsEmulator) -> int:
    """How many client sessions the real server has."""
    rows = rds.execute(
        "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend' "
        "AND application_name <> 'rds-iam-emulator'"
    )
    return len(rows)


def test_a_transaction(rds_iam_environment: RdsEmulator) -> None:
    """What is rolled back is gone, what is committed stays."""
    with psycopg.connect(**libpq(rds_iam_environment)) as connection:
        connection.execute("CREATE TEMP TABLE t (n int)")
        connection.commit()
        connection.execute("INSERT INTO t VALUES (1)")
        connection.rollback()
        with connection.transaction():
            connection.execute("INSERT INTO t VALUES (2)")
        assert connection.execute("SELECT n FROM t").fetchall() == [(2,)]


async def test_megabytes_both_ways(rds_iam_environment: RdsEmulator) -> None:
    """COPY in and a large result out arrive whole."""
    connection = await asyncpg.connect(**with_context(rds_iam_environment, "ssl"))
    try:
        await connection.execute("CREATE TEMP TABLE bulk (n int, filler text)")
        rows = [(n, "x" * 1000) for n in range(10_000)]
        await connection.copy_records_to_table("bulk", records=rows)
        found = await connection.fetch("SELECT n, filler FROM bulk ORDER BY n")
        assert [tuple(row) for row in found] == rows
    finally:
        await connection.close()


def test_a_slow_reader_is_not_buffered_for(rds_iam_environment: RdsEmulator) -> None:
    """The gateway stops reading from the server when the client does not take the bytes."""
    rds = rds_iam_environment
    with psycopg.connect(**libpq(rds)) as connection:
        connection.pgconn.send_query(b"SELECT repeat('x', 1000) FROM generate_series(1, 100000)")
        connection.pgconn.flush()
        waiting = (
            "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'ClientWrite' "
            f"AND pid = {connection.info.backend_pid}"
        )
        # A hundred megabytes: had the gateway taken them all, the server would not be waiting.
        eventually(lambda: bool(rds.execute(waiting)))
        connection.cancel_safe(timeout=DEADLINE)

        def next_result() -> Any:
            # libpq's get_result would wait with the GIL held, and the gateway with it.
            while connection.pgconn.is_busy():
                assert select.select([connection], [], [], DEADLINE)[0]
                connection.pgconn.consume_input()
            return connection.pgconn.get_result()

        assert b"canceling statement" in next_result().error_message
        assert next_result() is None


async def test_the_relay_takes_no_more_than_the_other_side() -> None:
    """A peer that does not read stops the relay from reading, after the sockets' own buffers."""
    (client, far_client), (server, far_server) = socket.socketpair(), socket.socketpair()
    with far_client, far_server:
        far_server.setblocking(False)
        left = await asyncio.open_connection(sock=client)
        right = await asyncio.open_connection(sock=server)
        task = asyncio.create_task(relay(left, right))
        sent = idle = 0
        while sent < 20_000_000 and idle < 1000:
            try:
                sent += far_server.send(bytes(1 << 16))
                idle = 0
            except BlockingIOError:
                idle += 1
            await asyncio.sleep(0)
        assert sent < 4_000_000
        task.cancel()
        await asyncio.wait([task], timeout=DEADLINE)
        for _, writer in (left, right):
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def sleeping(rds: RdsEmulator, pid: int) -> bool:
    """Whether backend `pid` is in the middle of pg_sleep."""
    return bool(
        rds.execute(f"SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND pid = {pid}")
    )


def test_cancel_over_tls(rds_iam_environment: RdsEmulator) -> None:
    """The cancel request of libpq 17 and later comes over TLS."""
    rds = rds_iam_environment
    with psycopg.connect(**libpq(rds)) as connection:
        pid = connection.info.backend_pid

        def cancel() -> None:
            eventually(lambda: sleeping(rds, pid))
            connection.cancel_safe(timeout=DEADLINE)

        thread = threading.Thread(target=cancel)
        thread.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(120)")
        thread.join(DEADLINE)


async def test_cancel_in_clear(rds_iam_environment: RdsEmulator) -> None:
    """That of older clients comes in clear and is served all the same, as the server does."""
    rds = rds_iam_environment
    connection = await asyncpg.connect(**with_context(rds, "ssl"))
    try:
        query = asyncio.create_task(connection.execute("SELECT pg_sleep(120)"))
        pid, secret = connection.get_server_pid(), connection._protocol.backend_secret
        await asyncio.to_thread(eventually, lambda: sleeping(rds, pid))
        reader, writer = await asyncio.open_connection(*rds.address)
        writer.write(struct.pack("!IIIi", 16, wire.CANCEL_REQUEST, pid, secret))
        assert await reader.read() == b""
        writer.close()
        with pytest.raises(asyncpg.QueryCanceledError):
            await query
    finally:
        await connection.close(timeout=DEADLINE)


async def test_asyncpg_timeout_cancels(rds_iam_environment: RdsEmulator) -> None:
    """Asyncpg's own cancel request, which it sends when a query times out."""
    connection = await asyncpg.connect(**with_context(rds_iam_environment, "ssl"))
    try:
        with pytest.raises(TimeoutError):
            await connection.execute("SELECT pg_sleep(120)", timeout=0.05)
        assert await connection.fetchval("SELECT 1") == 1
    finally:
        await connection.close(timeout=DEADLINE)


def test_killed_sessions_end_at_the_client(rds_iam_environment: RdsEmulator) -> None:
    """The server's last words and the end of the connection reach the client; a new one works."""
    rds = rds_iam_environment
    with psycopg.connect(**libpq(rds)) as connection:
        connection.execute("SELECT 1")
        assert rds.kill_sessions() >= 1
        with pytest.raises(psycopg.OperationalError, match="terminating connection"):
            connection.execute("SELECT 1")
    psycopg.connect(**libpq(rds)).close()


async def test_killed_sessions_have_ended(rds_iam_environment: RdsEmulator) -> None:
    """No session that was killed takes another statement once `kill_sessions` has returned.

    A pool's ping would find it alive, and what comes after the ping would fail.
    """
    rds = rds_iam_environment
    connections = [await asyncpg.connect(**with_context(rds, "ssl")) for _ in range(20)]
    await asyncio.to_thread(rds.kill_sessions)
    assert sessions(rds) == 0
    for connection in connections:
        connection.terminate()


async def test_nothing_stays_when_a_client_vanishes(rds_iam_environment: RdsEmulator) -> None:
    """A client that drops its connection without a word leaves no session and no task behind."""
    rds = rds_iam_environment
    rds.kill_sessions()
    connections = [await asyncpg.connect(**with_context(rds, "ssl")) for _ in range(5)]
    await asyncio.to_thread(eventually, lambda: sessions(rds) == 5)
    for connection in connections:
        connection.terminate()
    await asyncio.to_thread(eventually, lambda: sessions(rds) == 0)
    await asyncio.to_thread(eventually, lambda: not rds.gateway._tasks)


async def test_many_at_once(rds_iam_environment: RdsEmulator) -> None:
    """A hundred concurrent logins are all served."""
    rds = rds_iam_environment
    arguments = with_context(rds, "ssl")

    async def one() -> int:
        connection = await asyncpg.connect(**arguments)
        try:
            return int(await connection.fetchval("SELECT 1"))
        finally:
            await connection.close()

    assert await asyncio.gather(*(one() for _ in range(100))) == [1] * 100
    assert rds.metrics["IamDbAuthConnectionSuccess"] == 100


@pytest.mark.server
def test_a_server_that_dies_ends_sessions_and_refuses_logins() -> None:
    """Sessions end when the real server is killed; later logins get an error, not silence."""
    with RdsEmulator() as rds:
        connection = psycopg.connect(**libpq(rds))
        server = rds._own_server._server
        assert server is not None
        server.kill()
        server.wait(DEADLINE)
        with contextlib.closing(connection), pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT pg_sleep(120)")
        with pytest.raises(psycopg.OperationalError, match="not accepting connections"):
            psycopg.connect(**libpq(rds))
