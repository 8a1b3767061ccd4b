"""What the benchmarks know of each driver: its URL, and TLS as its users have to ask for it.

Imports neither a driver nor the plugin: when those are imported is measured elsewhere.
"""

from __future__ import annotations

import importlib.util
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple


class Driver(NamedTuple):
    """One driver.

    Attributes:
        engine: the kind of database, in SQLAlchemy's URLs and for the emulator.
        module: what is imported.
        tls: from the path of a CA file, connect arguments that verify CA and name.
    """

    engine: str
    module: str
    tls: Callable[[str], dict[str, Any]]


def _context(argument: str) -> Callable[[str], dict[str, Any]]:
    return lambda ca: {argument: ssl.create_default_context(cafile=ca)}


def _libpq(ca: str) -> dict[str, Any]:
    return {"sslmode": "verify-full", "sslrootcert": ca}


def _mysqlconnector(ca: str) -> dict[str, Any]:
    verified = {"ssl_ca": ca, "ssl_verify_cert": True, "ssl_verify_identity": True}
    # Its C extension sends a token only if told so.
    return {**verified, "auth_plugin": "mysql_clear_password"}


DRIVERS = {
    "psycopg": Driver("postgresql", "psycopg", _libpq),
    "psycopg2": Driver("postgresql", "psycopg2", _libpq),
    "psycopg_async": Driver("postgresql", "psycopg", _libpq),
    "asyncpg": Driver("postgresql", "asyncpg", _context("ssl")),
    "pg8000": Driver("postgresql", "pg8000", _context("ssl_context")),
    "pymysql": Driver("mysql", "pymysql", _context("ssl")),
    "asyncmy": Driver("mysql", "asyncmy", _context("ssl")),
    "aiomysql": Driver("mysql", "aiomysql", _context("ssl")),
    "mysqldb": Driver(
        "mysql", "MySQLdb", lambda ca: {"ssl_mode": "VERIFY_IDENTITY", "ssl": {"ca": ca}}
    ),
    "mysqlconnector": Driver("mysql", "mysql", _mysqlconnector),
    "mariadbconnector": Driver(
        "mysql", "mariadb", lambda ca: {"ssl": True, "ssl_ca": ca, "ssl_verify_cert": True}
    ),
}
"""By SQLAlchemy's name of the driver."""


def drivername(driver: str) -> str:
    """How the driver's URLs begin."""
    return f"{DRIVERS[driver].engine}+{driver}"


def missing(driver: str) -> str | None:
    """Why the driver cannot be measured on this machine, in words; None if it can."""
    module = DRIVERS[driver].module
    return None if importlib.util.find_spec(module) else f"{module} is not installed"
