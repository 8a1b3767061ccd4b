"""Fixtures of the whole suite: an environment of its own for each test, engines in both worlds."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme
from families import Words, words_of
from hypothesis import settings
from patience import DEADLINE, fetches_end
from sqlalchemy import URL, make_url
from worlds import USUAL, WORLDS, Database, worlds

from sqlalchemy_rds_iam import _token, plugin, secret_plugin
from sqlalchemy_rds_iam._tls import trust
from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.server.local import LocalServer

# The emulator's own fixtures, and those that tests of several folders use.
pytest_plugins = [
    "sqlalchemy_rds_iam.testing.fixtures",
    "ca_fixtures",
    "faults_fixtures",
    "rds_secret_fixtures",
]

# A machine that has other things to do is no reason for a test to fail.
settings.register_profile("unhurried", deadline=None)
# On versions beside the current ones, on which what an input does hardly ever depends, and where
# an answer is wanted soon.
settings.register_profile("fewer", deadline=None, max_examples=25)
settings.load_profile("unhurried")


def pytest_configure() -> None:
    """Let the programs that tests run hear signals, even if this one was told to ignore them.

    Below nohup, or in the background of a script, hangups and interrupts are ignored, and what is
    ignored stays so in all programs that are run from here. What is handled does not.
    """
    # Windows has the first of them alone.
    numbers = (getattr(signal, name, None) for name in ("SIGINT", "SIGQUIT", "SIGHUP"))
    for number in filter(None, numbers):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture(autouse=True, scope="session")
def _loops_close_their_transports() -> Iterator[None]:
    """Let every event loop of the suite see its transports off before it closes.

    asyncpg leaves those of a refused login to close on their own, which is a ResourceWarning of
    whichever test happens to run when the garbage is collected.
    """
    close = asyncio.SelectorEventLoop.close

    async def see_off(loop: Any) -> None:
        async with asyncio.timeout(DEADLINE):
            while any(transport._sock for transport in loop._transports.values()) or any(
                # Waits for the end of a process in the place of a loop, and tells the loop.
                "waitpid-" in thread.name
                for thread in threading.enumerate()
            ):
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.001)

    def close_politely(loop: Any) -> None:
        if not (loop.is_closed() or loop.is_running()):
            loop.run_until_complete(see_off(loop))
        close(loop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio.SelectorEventLoop, "close", close_politely)
        yield


@pytest.fixture(autouse=True)
def _no_fetch_outlives_its_test() -> Iterator[None]:
    """What goes on in a thread would be logged, and leave its sockets, in another test."""
    yield
    fetches_end()


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any) -> None:
    """Nothing of the machine's AWS or databases' settings, and no identity of another test."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "PG", "MYSQL_", "MARIADB_", "XDG_")):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    plugin._identities.clear()
    secret_plugin._clients.clear()
    _token._remembered.cache_clear()


_SERVERS = {
    "rds",
    "rds_emulator",
    "rds_mysql_emulator",
    "rds_cluster_emulator",
    "rds_mysql_cluster_emulator",
    "running_clusters",
    "documents_emulator",
    "running_redis",
}
"""The fixtures that start servers: emulators with their databases, and Redis.

A test that asks for one of them, directly or not, needs a server, as do tests marked `server`.
"""


_LONGEST = ("benchmarks", "commands", "failover", "faults", "doctor", "docs", "emulator")
"""Folders whose files take long: with several processes one that begins last is waited for."""


@pytest.hookimpl(tryfirst=True)  # before tests are selected by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; mark what needs no server; skip what needs aiobotocore without it."""
    items.sort(key=lambda item: item.path.parent.name not in _LONGEST)
    alone = importlib.util.find_spec("aiobotocore") is None
    for item in items:
        if alone and item.get_closest_marker("aiobotocore"):
            item.add_marker(pytest.mark.skip(reason="aiobotocore is not installed"))
        marks = {mark.name for mark in item.iter_markers()}
        fixtures = getattr(item, "fixturenames", ())
        if marks.isdisjoint({"server", "timing", "soak"}) and _SERVERS.isdisjoint(fixtures):
            item.add_marker("unit")


@pytest.fixture(autouse=True)
def _no_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """See to it that a test that is run as one that needs no server does not start one."""
    if request.node.get_closest_marker("unit"):
        monkeypatch.setattr(
            LocalServer, "_beginning", lambda _: pytest.fail("to be marked `server`")
        )


# The fixtures that say what a test connects with.
_WITH = ("world", "way", "pair_world")
_ENVIRONMENTS = {"postgresql": "rds_iam_environment", "mysql": "rds_iam_mysql_environment"}


@pytest.fixture
def family(request: pytest.FixtureRequest) -> str:
    """The family of tests that name no driver: PostgreSQL, unless they are for `families.BOTH`."""
    return str(getattr(request, "param", "postgresql"))


@pytest.fixture
def words(request: pytest.FixtureRequest, family: str) -> Words:
    """The words of the family that a test connects to."""
    for name in _WITH:
        value = request.getfixturevalue(name) if name in request.fixturenames else None
        if isinstance(value, tuple):
            return words_of(value[0])
    return words_of(family)


@pytest.fixture
def rds(request: pytest.FixtureRequest, words: Words) -> RdsEmulator:
    """The emulator of this test's family, and an environment in which it is all of AWS."""
    emulator: RdsEmulator = request.getfixturevalue(_ENVIRONMENTS[words.family])
    return emulator


@pytest.fixture(params=worlds(USUAL))
def world(request: pytest.FixtureRequest) -> tuple[str, bool]:
    """The drivers, each in each of its worlds; `worlds.on` chooses others for a test."""
    return WORLDS[request.param]


@pytest.fixture
def databases() -> Iterator[Callable[..., Database]]:
    """Make databases that are closed after the test."""
    made: list[Database] = []

    def make(url: URL | str, *, is_async: bool = False, **kwargs: Any) -> Database:
        made.append(Database(make_url(url), is_async=is_async, **kwargs))
        return made[-1]

    yield make
    for database in made:
        database.close()


@pytest.fixture
def connect(
    rds: RdsEmulator, world: tuple[str, bool], databases: Callable[..., Database]
) -> Callable[..., Database]:
    """Make a database of this test's driver and world on the emulator, with more URL options."""
    drivername, is_async = world

    def make(
        user: str = "app", *, options: dict[str, str] | None = None, **kwargs: Any
    ) -> Database:
        url = rds.url(drivername, user=user, **(options or {}))
        return databases(url, is_async=is_async, **kwargs)

    return make


@pytest.fixture
def ca(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> str:
    """A CA file where every engine of the test finds it."""
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    monkeypatch.setenv("PGSSLROOTCERT", str(file))
    # Where MySQL's drivers look, too.
    monkeypatch.setattr(trust, "_RDS_BUNDLES", (str(file),))
    return str(file)
