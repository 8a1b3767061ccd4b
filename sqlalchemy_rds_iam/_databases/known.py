"""All drivers that there are. A family is loaded when one of its drivers is looked up."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import TypeVar

from sqlalchemy_rds_iam._config.options import PLUGINS
from sqlalchemy_rds_iam._databases.drivers import Driver
from sqlalchemy_rds_iam._databases.family import Family
from sqlalchemy_rds_iam._requirements import install, missing
from sqlalchemy_rds_iam.errors import ConfigError

_Row = TypeVar("_Row", Family, Driver)


class _Rows(MutableMapping[str, _Row]):
    """Rows by name. An engine has no use for the other family, which is a tenth of its start.

    Args:
        table: what the rows are called in the module of a family.
        names: of the rows, by that module.
    """

    def __init__(self, table: str, names: Mapping[str, tuple[str, ...]]) -> None:
        self._table = table
        self._rows: dict[str, _Row | str] = {
            name: home for home, found in names.items() for name in found
        }

    def __getitem__(self, name: str) -> _Row:
        found = self._rows[name]
        if isinstance(found, str):
            home = importlib.import_module(f"{__package__}.{found}")
            row: _Row = getattr(home, self._table)[name]
            found = self._rows[name] = row
        return found

    def __setitem__(self, name: str, row: _Row) -> None:
        self._rows[name] = row

    def __delitem__(self, name: str) -> None:
        del self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


FAMILIES: _Rows[Family] = _Rows(
    "FAMILIES", {"postgresql": ("postgresql",), "mysql": ("mysql", "mariadb")}
)
"""By SQLAlchemy's name of the dialect."""

DRIVERS: _Rows[Driver] = _Rows(
    "DRIVERS",
    {
        "postgresql": ("psycopg", "asyncpg", "psycopg2", "pg8000"),
        "mysql": (
            "pymysql",
            "asyncmy",
            "aiomysql",
            "mysqldb",
            "mysqlconnector",
            "mariadbconnector",
        ),
    },
)
"""By SQLAlchemy's name of the driver, which is of one family only."""

_ENGINES = {
    "postgresql": {"postgres", "postgresql", "aurora-postgresql"},
    "mysql": {"mysql", "mariadb", "aurora", "aurora-mysql"},
}
"""What secrets of AWS call the databases of a family, by the name of the family."""


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
    "mysqldb": "MySQLdb",
    "mysqlconnector": "mysql.connector",
    "mariadbconnector": "mariadb",
}
"""The module of a driver, if it has another name than it."""


def module_of(name: str) -> str:
    """The module of a driver that is known."""
    return _MODULES.get(name, name)


def require_module(name: str) -> None:
    """Look whether a driver is installed, of those that are known.

    Raises:
        ModuleNotFoundError: it is not; as SQLAlchemy says it, and with what to install.
    """
    if name not in DRIVERS:
        return
    for module in missing(module_of(name)):
        raise ModuleNotFoundError(f"No module named {module!r}: {install(module)}", name=module)


def family_of(backend: str) -> Family:
    """The family of SQLAlchemy's ``dialect.name``, with what is particular about that dialect.

    Raises:
        ConfigError: there is none.
    """
    if backend not in FAMILIES:
        known = " or ".join(FAMILIES)
        raise ConfigError(f"the dialect {backend!r} is not supported: expected {known}")
    return FAMILIES[backend]


def family_in(engine: str | None) -> str | None:
    """The name of the family of what a secret of AWS calls its ``engine``; None if not known.

    Source: "JSON structure of AWS Secrets Manager secrets" in the AWS Secrets Manager User Guide.
    """
    return next((name for name, engines in _ENGINES.items() if engine in engines), None)
