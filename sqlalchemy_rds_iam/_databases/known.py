"""All drivers that there are, of all families."""

from __future__ import annotations

import contextlib
import importlib.util

from sqlalchemy_rds_iam._config.options import PLUGINS
from sqlalchemy_rds_iam._databases import mysql, postgresql
from sqlalchemy_rds_iam._databases.drivers import Driver
from sqlalchemy_rds_iam._databases.family import Family
from sqlalchemy_rds_iam.errors import ConfigError

FAMILIES = {
    "postgresql": postgresql.POSTGRESQL,
    "mysql": mysql.MYSQL,
    "mariadb": mysql.MARIADB,
}
"""By SQLAlchemy's name of the dialect."""

DRIVERS = {**postgresql.DRIVERS, **mysql.DRIVERS}
"""By SQLAlchemy's name of the driver, which is of one family only."""


def driver(name: str, backend: str | None = None) -> Driver:
    """The row for SQLAlchemy's ``dialect.driver``.

    Args:
        name: of the driver.
        backend: SQLAlchemy's ``dialect.name``, which may be one that the driver is not for.

    Raises:
        ConfigError: there is none; names the known ones.
    """
    row = DRIVERS.get(name)
    if row is None:
        begins = [f"{each.example}://…" for each in FAMILIES.values()]
        raise ConfigError(
            f"the driver {name!r} is not supported by {' or '.join(PLUGINS)}; known are "
            f"{', '.join(DRIVERS)} (as in {' or '.join(begins)})"
        )
    if backend is None:
        return row
    refuse_mismatch(name, backend)
    return row._replace(family=family_of(backend))


def refuse_mismatch(name: str, backend: str) -> None:
    """Refuse a driver of one family with the dialect of another; of others nothing is said.

    Raises:
        ConfigError: it is one.
    """
    row = DRIVERS.get(name)
    if row is not None and backend not in row.family.backends:
        raise ConfigError(
            f"{name} is a driver of {row.family.title}, and the dialect is {backend!r}: expected "
            f"a URL that begins with {' or '.join(row.family.backends)}"
        )


_MODULES = {
    "mysqldb": ("MySQLdb", "mysqlclient"),
    "mysqlconnector": ("mysql.connector", "mysqlconnector"),
    "mariadbconnector": ("mariadb", "mariadb"),
}
"""The module of a driver, and the extra that brings it, if they have other names than it."""


def require_module(name: str) -> None:
    """Look whether a driver is installed, of those that are known.

    Raises:
        ModuleNotFoundError: it is not; as SQLAlchemy says it, and with what to install.
    """
    if name not in DRIVERS:
        return
    module, extra = _MODULES.get(name, (name, name))
    with contextlib.suppress(ModuleNotFoundError, ValueError):  # of the package that it is in
        if importlib.util.find_spec(module) is not None:
            return
    raise ModuleNotFoundError(
        f"No module named {module!r}: pip install 'sqlalchemy-rds-iam[{extra}]'", name=module
    )


def family_of(backend: str) -> Family:
    """The family of SQLAlchemy's ``dialect.name``, with what is particular about that dialect.

    Raises:
        ConfigError: there is none.
    """
    if backend not in FAMILIES:
        known = " or ".join(FAMILIES)
        raise ConfigError(f"the dialect {backend!r} is not supported: expected {known}")
    return FAMILIES[backend]


def family_in(engine: str | None) -> Family | None:
    """The family of what a secret of AWS calls its ``engine``; None if it says nothing known.

    Source: "JSON structure of AWS Secrets Manager secrets" in the AWS Secrets Manager User Guide.
    """
    return next((each for each in FAMILIES.values() if engine in each.engines), None)
