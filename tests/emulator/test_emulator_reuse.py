"""Server sessions that serve one client after another: as good as new, or not used again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import time
from collections.abc import Iterator
from typing import Any

import asyncpg
import psycopg
import pytest
from emulator_support import libpq, with_context
from hypothesis import given
from hypothesis import strategies as st
from patience import DEADLINE, eventually

from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.postgresql import session_reuse, wire
from sqlalchemy_rds_iam.testing.postgresql.tap import MessageCutter


@pytest.fixture
def rds(rds_iam_environment: RdsEmulator) -> Iterator[RdsEmulator]:
    """The emulator, reusing sessions, with none from another test."""
    # A session of the test before may still be on its way to those that wait.
    eventually(lambda: not rds_iam_environment.gateway._present)
    rds_iam_environment.kill_sessions()
    # One that has been ended is handed out until its end is seen.
    eventually(lambda: waiting(rds_iam_environment) == 0)
    rds_iam_environment.gateway.reuse_sessions = True
    yield rds_iam_environment
    rds_iam_environment.gateway.reuse_sessions = False
    rds_iam_environment.kill_sessions()


def waiting(rds: RdsEmulator) -> int:
    """How many sessions wait for their next client."""
    return sum(map(len, rds.gateway._sessions._waiting.values()))


def use(rds: RdsEmulator, *statements: str, **arguments: Any) -> int:
    """Run `statements` as one client, and return the process id of its session on the server."""
    with psycopg.connect(**libpq(rds, **arguments), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
        found = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert found is not None
    return int(found[0])


def test_one_after_another(rds: RdsEmulator) -> None:
    """A session that was left idle serves the next client, and each of them had to log in."""
    pids = set()
    for _ in range(5):
        pids.add(use(rds, "SELECT 1"))
        eventually(lambda: waiting(rds) == 1)
    assert len(pids) == 1
    assert [decision.granted for decision in rds.decisions] == [True] * 5


def test_a_bad_token_opens_no_session(rds: RdsEmulator) -> None:
    """A session that waits lets in no client whose token is not good."""
    use(rds)
    eventually(lambda: waiting(rds) == 1)
    with pytest.raises(psycopg.OperationalError, match="PAM authentication failed"):
        psycopg.connect(**libpq(rds, password="app"))
    assert waiting(rds) == 1


@pytest.mark.parametrize(
    ("leave_behind", "look", "clean"),
    [
        ("SET search_path = pg_catalog", "SHOW search_path", '"$user", public'),
        ("SET ROLE pg_monitor", "SELECT current_user", "app"),
        (
            "CREATE TEMP TABLE left_behind (n int)",
            "SELECT count(*) FROM pg_class WHERE relname = 'left_behind'",
            0,
        ),
        ("PREPARE p AS SELECT 1", "SELECT count(*) FROM pg_prepared_statements", 0),
        ("LISTEN news", "SELECT count(*) FROM pg_listening_channels()", 0),
        (
            "SELECT pg_advisory_lock(7)",
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
            0,
        ),
    ],
)
def test_as_good_as_new(rds: RdsEmulator, leave_behind: str, look: str, clean: object) -> None:
    """What a client leaves behind in its session, the next one does not find."""
    rds.execute("GRANT pg_monitor TO app")
    pid = use(rds, leave_behind)
    eventually(lambda: waiting(rds) == 1)
    with psycopg.connect(**libpq(rds)) as connection:
        assert connection.info.backend_pid == pid
        assert connection.execute(look).fetchall() == [(clean,)]


def test_startup_parameters(rds: RdsEmulator) -> None:
    """A session serves only who asked for the very same: here, another application name."""
    rds.create_user("other")
    rds.execute("GRANT CONNECT ON DATABASE app TO other")
    pids = [use(rds, user=user, application_name=name) for user, name in USERS]
    eventually(lambda: waiting(rds) == len(USERS))
    assert len(set(pids)) == len(USERS)
    assert use(rds, user="app", application_name="two") == pids[1]


USERS = [("app", "one"), ("app", "two"), ("other", "one")]


@pytest.mark.parametrize(
    "leave", ["in a transaction", "in a failed one", "in mid-query", "in COPY"]
)
def test_left_in_another_state(rds: RdsEmulator, leave: str) -> None:
    """A session that was not left idle ends, and what its client had not committed is undone."""
    connection = psycopg.connect(**libpq(rds))
    pid = connection.info.backend_pid
    query = {
        "in a transaction": "CREATE TABLE undone (n int)",
        "in a failed one": "SELECT 1 / 0",
        "in mid-query": "SELECT pg_sleep(60)",
        "in COPY": "COPY pg_temp.t FROM STDIN",
    }[leave]
    if leave == "in COPY":
        connection.execute("CREATE TEMP TABLE t (n int)")
        connection.commit()
    if leave == "in mid-query":
        connection.pgconn.send_query(query.encode())
        connection.pgconn.flush()
        eventually(
            lambda: bool(
                rds.execute(
                    f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND state = 'active'"
                )
            )
        )
    elif leave == "in COPY":
        connection.pgconn.exec_(query.encode())
    else:
        with contextlib.suppress(psycopg.errors.DivisionByZero):
            connection.execute(query)
    connection.close()
    if leave == "in mid-query":
        rds.execute(f"SELECT pg_cancel_backend({pid})")  # it would else notice after a minute
    eventually(lambda: not rds.execute(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}"))
    assert waiting(rds) == 0
    assert not rds.execute("SELECT 1 FROM pg_class WHERE relname = 'undone'", "app")


def test_a_connection_that_breaks(rds: RdsEmulator) -> None:
    """A client that goes away without a word leaves an idle session, which may be used again."""
    with contextlib.closing(psycopg.connect(**libpq(rds))) as connection:
        pid = connection.info.backend_pid
        sock = socket.socket(fileno=connection.fileno())
        sock.shutdown(socket.SHUT_RDWR)
        sock.detach()
    eventually(lambda: waiting(rds) == 1)
    assert use(rds) == pid


def test_a_waiting_session_that_ends(rds: RdsEmulator) -> None:
    """A session that the server ends while it waits is handed to no client."""
    pid = use(rds)
    eventually(lambda: waiting(rds) == 1)
    assert rds.kill_sessions() == 1
    eventually(lambda: waiting(rds) == 0)
    assert use(rds) != pid


def test_an_old_cancel_key(rds: RdsEmulator) -> None:
    """A client can cancel its own query, and one that has left cannot cancel its successor's."""
    with contextlib.closing(psycopg.connect(**libpq(rds))) as first:
        pid = first.info.backend_pid
        [stale] = rds.gateway._sessions._aliases
    eventually(lambda: waiting(rds) == 1)
    active = f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND state = 'active'"
    with contextlib.closing(psycopg.connect(**libpq(rds))) as second:
        assert second.info.backend_pid == pid
        second.pgconn.send_query(b"SELECT pg_sleep(60)")
        second.pgconn.flush()
        eventually(lambda: bool(rds.execute(active)))
        rds._call(rds.gateway._cancel(stale))
        time.sleep(0.05)
        assert rds.execute(active)
        second.cancel_safe(timeout=DEADLINE)
        eventually(lambda: not rds.execute(active))


def test_no_such_database(rds: RdsEmulator) -> None:
    """What the server says to a login that it refuses reaches the client."""
    with pytest.raises(psycopg.OperationalError, match='database "nowhere" does not exist'):
        psycopg.connect(**libpq(rds, dbname="nowhere"))
    assert waiting(rds) == 0


async def test_many_at_once(rds: RdsEmulator) -> None:
    """Clients at the same time have a session each, with asyncpg's pipelined messages as well."""
    all_of_them = asyncio.Barrier(10)

    async def one(number: int) -> tuple[int, int]:
        connection = await asyncpg.connect(**with_context(rds, "ssl"))
        try:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            async with asyncio.timeout(DEADLINE):
                await all_of_them.wait()
            await connection.execute("CREATE TEMP TABLE mine (n int)")
            rows = [(number,)] * 1000
            await connection.copy_records_to_table("mine", records=rows)
            return pid, await connection.fetchval("SELECT sum(n) FROM mine")
        finally:
            await connection.close()

    for _ in range(3):
        found = await asyncio.gather(*(one(number) for number in range(10)))
        assert [total for _, total in found] == [1000 * number for number in range(10)]
        assert len({pid for pid, _ in found}) == 10


@pytest.mark.server
def test_stop_ends_the_waiting() -> None:
    """An emulator that stops ends the sessions that wait, too, without an error."""
    with RdsEmulator() as rds:
        rds.gateway.reuse_sessions = True
        use(rds)
        eventually(lambda: waiting(rds) == 1)


@given(
    messages=st.lists(st.tuples(st.sampled_from(b"QSZDX"), st.binary(max_size=5)), max_size=8),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5),
)
def test_messages_however_they_come(messages: list[tuple[int, bytes]], sizes: list[int]) -> None:
    """Whatever the chunks, the same bytes go on in whole messages, and each is recognised."""
    stream = b"".join(wire.message(bytes([kind]), body) for kind, body in messages)
    found, passed, at = [], b"", 0
    cutter = MessageCutter()
    for size in itertools.cycle(sizes):
        if at >= len(stream):
            break
        whole = cutter.feed(stream[at : at + size])
        at += size
        passed += b"".join(whole)
        found += [message[:1] for message in whole]
        assert passed + bytes(cutter.rest) == stream[:at]
    assert passed == stream
    assert found == [bytes([kind]) for kind, _ in messages]


class Nowhere:
    """A writer that takes everything."""

    def write(self, _: bytes) -> None:
        pass

    async def drain(self) -> None:
        pass


QUERY, SYNC, READY = wire.query("SELECT 1"), wire.message(b"S"), wire.message(b"Z", b"I")


@pytest.mark.parametrize(
    ("said", "heard", "idle"),
    [
        (b"", b"", True),
        (QUERY, READY, True),
        (QUERY + SYNC, READY + READY, True),
        (QUERY + wire.message(b"X"), READY, True),
        (QUERY, b"", False),
        (QUERY + SYNC, READY, False),
        (QUERY + QUERY[:3], READY, False),
        (QUERY, READY + READY[:3], False),
        (QUERY + wire.message(b"X"), b"", False),
    ],
)
async def test_idle_is_answered(said: bytes, heard: bytes, idle: bool) -> None:
    """A session is idle if all was answered that its client has asked before it left."""
    client, server = asyncio.StreamReader(), asyncio.StreamReader()
    nowhere: Any = Nowhere()
    session = session_reuse.Session((server, nowhere), ("", 0, ()), [], key=b"key")
    task = asyncio.create_task(session_reuse.relay((client, nowhere), session))
    server.feed_data(heard)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    client.feed_data(said)
    client.feed_eof()
    async with asyncio.timeout(DEADLINE):
        await task
    assert session.idle is idle
