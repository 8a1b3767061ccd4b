"""Which errors say that no server is there, and which that it is read-only, for all drivers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import session_errors_mysql
import session_errors_postgresql
from odd_servers import closed_port, hangs_up, hangs_up_on_logins, odd_server
from session_errors import Catalogue

FAMILIES = {
    "postgresql": session_errors_postgresql.CATALOGUE,
    "mysql": session_errors_mysql.CATALOGUE,
}
DRIVERS = {
    "psycopg": "postgresql",
    "psycopg2": "postgresql",
    "asyncpg": "postgresql",
    "pg8000.dbapi": "postgresql",
    "pymysql": "mysql",
    "asyncmy": "mysql",
    "aiomysql": "mysql",
    "MySQLdb": "mysql",
    "mysql.connector": "mysql",
    "mariadb": "mysql",
}


def _all_of(*kinds: str) -> pytest.MarkDecorator:
    """The errors of these kinds, each with the catalogue of its family."""
    found = [
        pytest.param(catalogue, error, id=f"{family}-{error!r}")
        for family, catalogue in FAMILIES.items()
        for kind in kinds
        for error in getattr(catalogue, kind)
    ]
    return pytest.mark.parametrize(("catalogue", "error"), found)


@_all_of("unreachable")
def test_unreachable(catalogue: Catalogue, error: Exception) -> None:
    """No server, or none that is up: another attempt may find it."""
    assert catalogue.rules.is_unreachable(error)


@_all_of("answers", "read_only", "others")
def test_an_answer(catalogue: Catalogue, error: Exception) -> None:
    """A refused login, a certificate, a full house: others change nothing."""
    assert not catalogue.rules.is_unreachable(error)


@_all_of("read_only")
def test_read_only(catalogue: Catalogue, error: Exception) -> None:
    """By its SQLSTATE or number, and where that is of more, by the words of a standby."""
    assert catalogue.rules.is_read_only(error)


@_all_of("unreachable", "answers", "others")
def test_not_read_only(catalogue: Catalogue, error: Exception) -> None:
    """All else is none of it, a user's own read-only transaction least of all."""
    assert not catalogue.rules.is_read_only(error)


def _refused(driver: str, port: int) -> Exception:
    """What a driver says of a server which does not let it in."""
    module = pytest.importorskip(driver, reason=f"{driver} is not installed")
    arguments: dict[str, Any] = {"host": "127.0.0.1", "port": port, "user": "app"}
    if driver == "asyncpg":
        arguments["ssl"] = False

    async def connect() -> None:
        connection = module.connect(**arguments)
        if driver in {"asyncpg", "asyncmy", "aiomysql"}:
            await connection

    with pytest.raises(Exception) as caught:  # noqa: PT011
        asyncio.run(connect())
    return caught.value


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_drivers_say_of_no_server(driver: str) -> None:
    """Each in its own words."""
    error = _refused(driver, closed_port())
    assert FAMILIES[DRIVERS[driver]].rules.is_unreachable(error), repr(error)


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_drivers_say_of_a_server_that_goes(driver: str) -> None:
    """Each in its own words, of PostgreSQL's in the middle of a login."""
    family = DRIVERS[driver]
    goes = {"postgresql": hangs_up_on_logins, "mysql": hangs_up}[family]
    with odd_server("127.0.0.1", goes) as port:
        error = _refused(driver, port)
    assert FAMILIES[family].rules.is_unreachable(error), repr(error)
