"""Engines that cannot work as they are made: one clear error, as soon as it can be known."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any

import pytest
from families import Words
from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.engine import URL, Engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from worlds import WORLDS, on

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._databases.known import DRIVERS
from sqlalchemy_rds_iam.testing import RdsEmulator

HOST = "db.abc123.us-east-1.rds.amazonaws.com"
PLUGINS = {
    "rds_iam": "plugin=rds_iam",
    "rds_secret": "plugin=rds_secret&rds_secret_id=app&rds_secret_region=us-east-1",
}


def _make(world: tuple[str, bool], query: str, **kwargs: Any) -> Engine:
    url = make_url(f"{world[0]}://app@{HOST}/app?{query}")
    return (
        create_async_engine(url, **kwargs).sync_engine if world[1] else create_engine(url, **kwargs)
    )


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize("by_url", [False, True])
def test_an_argument_that_no_driver_knows(
    ca: str, world: tuple[str, bool], plugin: str, *, by_url: bool
) -> None:
    """It is refused when the engine is made, with each driver."""
    query, arguments = PLUGINS[plugin], {"conect_timeout": 5}
    if by_url:
        query, arguments = f"{query}&conect_timeout=5", {}
    driver = world[0].partition("+")[2]
    with pytest.raises(ConfigError, match=f"^{driver} knows no argument 'conect_timeout'"):
        _make(world, query, connect_args=arguments)
    # Switched off, it is the driver's affair again.
    _make(world, f"{query}&{plugin}_enabled=off", connect_args=arguments)


KNOWN: dict[str, dict[str, Any]] = {
    "psycopg": {
        "autocommit": True,
        "prepare_threshold": None,
        "row_factory": tuple,
        "application_name": "x",
        "keepalives_idle": 5,
        "options": "-c statement_timeout=5000",
        "target_session_attrs": "any",
    },
    "psycopg2": {
        "connection_factory": None,
        "cursor_factory": None,
        "application_name": "x",
        "sslcompression": 0,
        "options": "-c statement_timeout=5000",
    },
    "asyncpg": {
        "server_settings": {"application_name": "x"},
        "command_timeout": 5,
        "timeout": 5,
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": str,
        "record_class": object,
    },
    "pg8000": {"timeout": 5, "application_name": "x", "tcp_keepalive": True},
    "pymysql": {"connect_timeout": 5, "charset": "utf8mb4", "init_command": "select 1"},
    "asyncmy": {"connect_timeout": 5, "charset": "utf8mb4", "init_command": "select 1"},
    "mysqldb": {"connect_timeout": 5, "charset": "utf8mb4", "use_unicode": True, "compress": False},
}


@pytest.mark.parametrize("plugin", PLUGINS)
def test_arguments_that_it_knows(ca: str, world: tuple[str, bool], plugin: str) -> None:
    """What a driver, libpq or SQLAlchemy's layer over it takes is left alone."""
    _make(world, PLUGINS[plugin], connect_args=KNOWN[world[0].partition("+")[2]])


@pytest.mark.parametrize(
    ("driver", "name", "says"),
    [
        ("psycopg", "sslmod", "did you mean 'sslmode'"),
        ("asyncpg", "comand_timeout", "did you mean 'command_timeout'"),
        ("asyncpg", "application_name", "server_settings"),
        ("pg8000", "options", "startup_params"),
        ("pymysql", "conect_timeout", "did you mean 'connect_timeout'"),
        ("asyncmy", "charst", "did you mean 'charset'"),
    ],
)
def test_what_was_meant(ca: str, driver: str, name: str, says: str) -> None:
    """The error names what may have been meant, and where settings of the server go."""
    with pytest.raises(ConfigError, match=f"{name!r}.*{says}"):
        _make((WORLDS[driver][0], False), f"{PLUGINS['rds_iam']}&{name}=x")


def test_a_listener_that_takes_it_out(ca: str) -> None:
    """Where a listener may take an argument out, it is not yet known whether the driver gets it."""

    def take_out(*args: Any) -> None:
        args[3].pop("tag")

    event.listen(Engine, "do_connect", take_out)
    try:
        _make(WORLDS["psycopg"], PLUGINS["rds_iam"], connect_args={"tag": 1})
    finally:
        event.remove(Engine, "do_connect", take_out)
    _make(WORLDS["asyncpg"], PLUGINS["rds_iam"], connect_args={"async_creator_fn": print, "tag": 1})


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize("name", ["host", "user"])
@pytest.mark.parametrize("value", [object(), ipaddress.ip_address("127.0.0.1"), 5, b"x"])
def test_an_object(ca: str, world: tuple[str, bool], plugin: str, name: str, value: object) -> None:
    """A host or a user that is no text is refused by its type."""
    kind = type(value).__name__
    name = DRIVERS[world[0].partition("+")[2]].user if name == "user" else name
    with pytest.raises(ConfigError, match=f"^{name} is an object of the type {kind}: expected"):
        _make(world, PLUGINS[plugin], connect_args={name: value})


@on("asyncpg", "psycopg-async", "asyncmy", "aiomysql")
def test_a_sync_engine_with_an_async_driver(rds: RdsEmulator, world: tuple[str, bool]) -> None:
    """It is refused when it connects, in a task as well, token or none."""
    drivername = world[0].replace("psycopg", "psycopg_async")
    engine = create_engine(rds.url(drivername), poolclass=NullPool)
    for _ in range(2):
        with pytest.raises(
            ConfigError, match=r"sync engine with an async driver.*create_async_eng"
        ):
            engine.connect()


@on("asyncpg", "asyncmy", "aiomysql")
async def test_a_sync_engine_in_an_async_one(
    rds: RdsEmulator, world: tuple[str, bool], words: Words
) -> None:
    """As some templates make it, it is an async engine, which cannot be known when it is made."""
    sync = create_engine(rds.url(world[0]))
    with pytest.raises(ConfigError, match="sync engine with an async driver"):
        sync.connect()
    engine = AsyncEngine(sync)
    async with engine.connect() as connection:
        assert await connection.scalar(text(words.user)) == "app"
    await engine.dispose()


FETCHERS = ["botocore", pytest.param("aiobotocore", marks=pytest.mark.aiobotocore)]


@pytest.mark.parametrize("fetcher", FETCHERS)
@on("asyncpg", "psycopg-async", "asyncmy", "aiomysql")
def test_no_loop_of_asyncio(
    rds: RdsEmulator, world: tuple[str, bool], words: Words, fetcher: str
) -> None:
    """Under another library than asyncio, such as Trio, the error says so; a loop then works."""
    url: URL = rds.url(world[0], rds_iam_credentials=fetcher)
    engine = create_async_engine(url)

    async def connect() -> Any:
        async with engine.connect() as connection:
            return await connection.scalar(text(words.user))

    task = connect()
    with pytest.raises(ConfigError, match="no event loop of asyncio runs here: under Trio"):
        task.send(None)  # as a loop of any other kind begins a task

    async def again() -> Any:
        try:
            return await connect()
        finally:
            await engine.dispose()

    assert asyncio.run(again()) == "app"
