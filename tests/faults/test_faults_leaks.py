"""Free of leaks: thousands of endpoints cost little, and nothing outlives its engines."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import subprocess
import sys
import threading
import time
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from families import BOTH, Words, words_of
from faults_support import LIFE, Clock, Provider, Way, settle
from patience import DEADLINE, eventually, fetches_end
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam import CredentialsError, plugin
from sqlalchemy_rds_iam._aws.credentials import AwsSource
from sqlalchemy_rds_iam._aws.sigv4 import Credentials, IssuedPassword, MaskedStr
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam._passwords.cache import CacheEntry, PasswordCache
from sqlalchemy_rds_iam.testing import RdsEmulator

MANY = 10_000
ENDPOINT = Endpoint("app-db.c0ffee123456.us-east-1.rds.amazonaws.com", 5432, "app", "us-east-1")


class Source:
    """Credentials for ever, at once."""

    def fetch(self, *, reload: bool) -> Credentials:
        return Credentials("AKIA", "secret", "s" * 500)

    async def fetch_async(self) -> Credentials:
        return self.fetch(reload=False)

    def prepare_async(self, loop: asyncio.AbstractEventLoop, *, reload: bool) -> None: ...

    def reset(self) -> None: ...

    def token(self, credentials: Credentials, endpoint: Endpoint, now: float) -> IssuedPassword:
        return IssuedPassword(MaskedStr("token"), now, now + 900)


def _token(tokens: PasswordCache, entry: CacheEntry) -> IssuedPassword:
    answer = tokens.lookup(entry, ahead=True, failure_ttl=1.0)
    if answer.fetch is not None:
        answer.fetch.run()
        answer = tokens.lookup(entry, ahead=True, failure_ttl=1.0)
    assert answer.token is not None
    return answer.token


def _many(tokens: PasswordCache, count: int = MANY) -> list[CacheEntry]:
    """The slots of so many tenants, a token in each."""
    slots = [tokens.entry(ENDPOINT._replace(user=f"tenant{number}")) for number in range(count)]
    for entry in slots:
        _token(tokens, entry)
    return slots


@contextlib.contextmanager
def _operations() -> Iterator[list[str]]:
    """Every call of a Python or C function, by its name."""
    called: list[str] = []

    def record(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            called.append(frame.f_code.co_qualname)
        elif event == "c_call":
            called.append(argument.__qualname__)

    sys.setprofile(record)
    try:
        yield called
    finally:
        sys.setprofile(None)


def test_a_lookup_does_the_same_among_many() -> None:
    """Finding an endpoint and its token takes the same steps among ten thousand as among one."""
    steps: list[list[str]] = []
    for count in (1, MANY):
        tokens = PasswordCache(Source())
        slots = _many(tokens, count)
        with _operations() as called:
            found = tokens.entry(slots[-1].endpoint)
            assert found.fresh(tokens.clock()) is slots[-1].token
            tokens.lookup(found, ahead=True, failure_ttl=1.0)
        assert found is slots[-1]
        steps.append(called)
        del tokens, slots, found  # or the last of them would go while the next steps are counted
    assert steps[0] == steps[1]
    assert len(steps[0]) < 40


def test_an_endpoint_takes_less_than_a_kilobyte() -> None:
    """What is kept for an endpoint beside its token stays under 1,024 bytes, its name included."""
    tokens = PasswordCache(Source())
    _token(tokens, tokens.entry(ENDPOINT))
    gc.collect()
    tracemalloc.start()
    try:
        slots = _many(tokens)
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for entry in slots:
        assert entry.token is not None
        taken -= sys.getsizeof(entry.token) + sys.getsizeof(entry.token.password)
        assert isinstance(entry.token.password, MaskedStr)
    assert 0 < taken / MANY < 1024


def test_endpoints_are_gone_with_their_engines() -> None:
    """When no caller holds the slots of ten thousand endpoints, their memory is free."""
    tokens = PasswordCache(Source())
    _many(tokens, 1)
    tracemalloc.start()
    try:
        for _ in range(2):
            slots = _many(tokens)
            assert len(tokens._entries) == MANY
            del slots
            gc.collect()
            assert len(tokens._entries) == 0
            left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The emptied dictionary keeps its size.
    assert left < 100 * MANY


def test_an_engine_among_many_is_gone(
    rds: RdsEmulator, way: Way, open_database: Callable[..., Database]
) -> None:
    """An engine that is garbage takes its part of the cache with it, and leaves the others'."""
    kept = open_database()
    kept.scalar("select 1")
    tokens = kept.inside.cache
    rds.create_user("tenant")
    rds.execute(words_of(way.drivername).enter("tenant", "app"))
    url = rds.url(way.drivername, "tenant", rds_iam_credentials=way.credentials)
    database = Database(url, is_async=way.is_async)
    database.scalar("select 1")
    gone = [weakref.ref(it) for it in (database.engine, database.inside.listener)]
    assert len(tokens._entries) == 2
    database.close()
    del database
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
    assert [entry.endpoint.user for entry in tokens._entries.values()] == ["app"]
    assert list(plugin._identities.values()) == [tokens]


def test_nothing_runs_between_renewals(
    open_database: Callable[..., Database], container: Provider, clock: Clock
) -> None:
    """Renewals leave neither a thread nor a task behind, and an idle process does nothing."""
    database = open_database(poolclass=NullPool)
    for _ in range(6):
        assert database.scalar("select 1") == 1
        settle(database)
        clock.offset += LIFE * 2 / 3 + 1
    fetches_end()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rds-iam-f")]
    asked = container.calls
    clock.offset += 10 * LIFE
    time.sleep(0.02)
    if database._runner is not None:
        assert database._runner.run(_tasks()) == 0
    assert container.calls == asked


async def _tasks() -> int:
    await asyncio.sleep(0.02)
    return len(asyncio.all_tasks()) - 1


@pytest.mark.aiobotocore
@BOTH
def test_a_loop_that_is_gone_leaves_nothing(
    rds: RdsEmulator, container: Provider, clock: Clock, words: Words
) -> None:
    """What was kept for an event loop goes with it."""
    url = rds.url(words.asynchronous, rds_iam_credentials="aiobotocore")
    engine = create_async_engine(url, poolclass=NullPool)

    async def connect() -> None:
        async with engine.connect() as connection:
            await connection.execute(text("select 1"))

    for _ in range(5):
        asyncio.run(connect())
        clock.offset += LIFE
    gc.collect()
    [tokens] = plugin._identities.values()
    assert len(tokens.source._by_loop) == 0  # type: ignore[attr-defined]


def test_garbage_with_a_flight_in_it() -> None:
    """A fetch that was left on a closed loop may be collected while its identity is in use."""
    tokens = PasswordCache(Source())
    answer = tokens.lookup(tokens.entry(ENDPOINT), ahead=True, failure_ttl=1.0)
    assert answer.fetch is not None

    async def never(_work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().create_future()

    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(answer.fetch.run_async(never))]
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    def collect() -> None:
        # Any allocation under the lock may be what sets the collector off.
        with tokens._lock:
            tasks.clear()
            gc.collect()

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert answer.fetch.future.done()


@pytest.mark.server
@pytest.mark.parametrize("which", ["container", "imds"])
@pytest.mark.usefixtures("impatient")
def test_reloads_leave_no_connections(
    which: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A metadata service sees few connections, however often credentials are read anew."""
    provider: Provider = request.getfixturevalue(which)
    source = AwsSource(None)
    gc.disable()  # which would find them sooner or later
    try:
        for _ in range(5):
            assert source.fetch(reload=True).provider == provider.name
        provider.fail("503", monkeypatch)
        source.reset()
        for _ in range(5):
            with pytest.raises(CredentialsError):
                source.fetch(reload=False)
        server = provider.service._runner.server
        eventually(lambda: len(server.connections) <= 2, "connections stay open")
    finally:
        gc.enable()


def test_reloads_do_not_put_collections_off() -> None:
    """Sessions that were replaced go the way of all garbage, however often that happens."""
    code = (
        "import weakref\n"
        "from sqlalchemy_rds_iam._aws.credentials import AwsSource\n"
        "source, sessions = AwsSource(None), weakref.WeakSet()\n"
        "for _ in range(150):\n"
        "    source.fetch(reload=True)\n"
        "    sessions.add(source._session)\n"
        "assert len(sessions) < 150"
    )
    environ = {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "AWS_CREDENTIAL_EXPIRATION": "2100-01-01T00:00:00Z",  # else no session would be made
        "HOME": os.environ["HOME"],
    }
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 0, done.stderr
