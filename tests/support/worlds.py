"""Each driver in each of its worlds, and one face for the engines of both."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from families import Words, words_of
from inside import Inside
from sqlalchemy import URL, Connection, create_engine, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import QueuePool

T = TypeVar("T")

WORLDS = {
    "psycopg": ("postgresql+psycopg", False),
    "psycopg-async": ("postgresql+psycopg", True),
    "asyncpg": ("postgresql+asyncpg", True),
    "psycopg2": ("postgresql+psycopg2", False),
    "pg8000": ("postgresql+pg8000", False),
    "pymysql": ("mysql+pymysql", False),
    "asyncmy": ("mysql+asyncmy", True),
    "aiomysql": ("mysql+aiomysql", True),
    "mysqldb": ("mysql+mysqldb", False),
    "mysqlconnector": ("mysql+mysqlconnector", False),
    "mariadbconnector": ("mariadb+mariadbconnector", False),
    "pymysql-mariadb": ("mariadb+pymysql", False),
    "asyncmy-mariadb": ("mariadb+asyncmy", True),
}
"""Every driver in every world it knows: the driver part of the URL, and whether it is async."""

EVERY = tuple(WORLDS)
DRIVERS = tuple(key for key in WORLDS if not key.endswith("-mariadb"))
"""Each driver under one name of its dialect, where the dialect makes no difference."""
POSTGRESQL = tuple(key for key, world in WORLDS.items() if world[0].startswith("postgresql"))
MYSQL = tuple(key for key in WORLDS if key not in POSTGRESQL)
TUNNELLING = (*POSTGRESQL, "pymysql", "asyncmy")
"""Some of those whose drivers verify another name than the one that they connect to."""
USUAL = (*POSTGRESQL, "pymysql", "asyncmy", "mysqldb")
"""Those of tests that say nothing else: of MySQL's a sync one, an async one, and one made of C."""

# What is imported, and what pip calls it.
_MODULES = {
    "pymysql": ("pymysql", "PyMySQL"),
    "asyncmy": ("asyncmy", "asyncmy"),
    "aiomysql": ("aiomysql", "aiomysql"),
    "mysqldb": ("MySQLdb", "mysqlclient"),
    "mysqlconnector": ("mysql", "mysql-connector-python"),
    "mariadbconnector": ("mariadb", "mariadb"),
}


def worlds(keys: tuple[str, ...]) -> list[Any]:
    """Parameters for these worlds; without its driver each is skipped by name."""
    return [pytest.param(key, marks=_missing(WORLDS[key][0].partition("+")[2])) for key in keys]


def drivernames() -> list[Any]:
    """Parameters for what URLs of every driver begin with; without its driver each is skipped."""
    names = dict.fromkeys(drivername for drivername, _ in WORLDS.values())
    return [pytest.param(name, marks=_missing(name.partition("+")[2])) for name in names]


def on(*keys: str) -> pytest.MarkDecorator:
    """Run a test, or all of a module's, in these worlds and no others."""
    return pytest.mark.parametrize("world", worlds(keys), indirect=True)


def needs_query(drivername: str) -> None:
    """Skip where SQLAlchemy drops the URL's query, as 2.0.0 does for MariaDB Connector/Python."""
    url = make_url(f"{drivername}://user@host/database?word=1")
    if "word" not in url.get_dialect()().create_connect_args(url)[1]:
        pytest.skip(f"this SQLAlchemy drops the query of {drivername}")


def _missing(driver: str) -> list[pytest.MarkDecorator]:
    module, package = _MODULES.get(driver, (driver, driver))
    missing = importlib.util.find_spec(module) is None
    return [pytest.mark.skip(reason=f"{package} is not installed")] if missing else []


class Database:
    """One engine, sync or async, behind one face, so that a test has one body for both."""

    def __init__(self, url: URL, *, is_async: bool, **kwargs: Any) -> None:
        self.is_async = is_async
        self.words: Words = words_of(url.drivername)
        self._runner = asyncio.Runner() if is_async else None
        if is_async:
            self._async_engine = create_async_engine(url, **kwargs)
            self.engine = self._async_engine.sync_engine
        else:
            self.engine = create_engine(url, **kwargs)

    @property
    def inside(self) -> Inside:
        """Our part of this engine."""
        return Inside(self.engine)

    @property
    def signed_host(self) -> str:
        """The host that the URL says tokens are for."""
        return str(self.engine.url.query.get("rds_iam_host", self.engine.url.host))

    def run(self, body: Callable[[Connection], T]) -> T:
        """Run `body` with a connection of the pool, in a transaction that is committed."""
        if self._runner is None:
            with self.engine.begin() as connection:
                return body(connection)

        async def in_greenlet() -> T:
            async with self._async_engine.begin() as connection:
                return await connection.run_sync(body)

        return self._runner.run(in_greenlet())

    def scalar(self, sql: str) -> Any:
        """Run one statement and return its one value."""
        return self.run(lambda connection: connection.exec_driver_sql(sql).scalar())

    def connect_inherited(self) -> None:
        """Connect in a process that has inherited this one."""

        async def connect() -> None:
            async with self._async_engine.connect():
                pass

        if self.is_async:
            asyncio.run(connect())  # the loop of the parent is none of ours
        else:
            self.scalar("select 1")

    def storm(self, size: int) -> list[Any]:
        """Connect so many times at once, and return what came of each: 1 or an error."""
        if self._runner is None:

            def one(_: int) -> Any:
                try:
                    return self.scalar("select 1")
                except Exception as error:  # noqa: BLE001  (it is what is looked at)
                    return error

            with ThreadPoolExecutor(size) as pool:
                return list(pool.map(one, range(size)))

        async def all_at_once() -> list[Any]:
            async def one() -> Any:
                async with self._async_engine.connect() as connection:
                    return await connection.scalar(text("select 1"))

            return await asyncio.gather(*(one() for _ in range(size)), return_exceptions=True)

        return self._runner.run(all_at_once())

    def raises(self, kind: type[BaseException] | tuple[type[BaseException], ...]) -> BaseException:
        """The error that connecting now fails with; it has to be of this `kind`."""
        with pytest.raises(kind) as caught:
            self.scalar("select 1")
        if isinstance(self.engine.pool, QueuePool):
            assert self.engine.pool.checkedout() == 0
        return caught.value

    def close(self) -> None:
        """Close the pool, and the event loop of an async engine."""
        if self._runner is None:
            self.engine.dispose()
            return

        self._runner.run(self._async_engine.dispose())
        self._runner.close()
