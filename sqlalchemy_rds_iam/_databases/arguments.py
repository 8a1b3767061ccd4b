"""Arguments that no driver is going to take: found when the engine is made, not at each connect."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy.engine import Dialect

from sqlalchemy_rds_iam.errors import ConfigError

# What SQLAlchemy's own layer over a driver takes out of the arguments, whatever its version.
_ADAPTED = {
    "async_creator_fn",
    "async_fallback",
    "prepared_statement_cache_size",
    "prepared_statement_name_func",
}


def refuse_unknown_arguments(dialect: Dialect, names: Iterable[str]) -> None:
    """Refuse connect arguments of the user's that the driver does not know.

    Nothing is said where it cannot be known yet: another listener may take them out, and so may a
    function of the user's that connects in the driver's place.

    Args:
        dialect: of the engine; its driver is loaded.
        names: what the URL's query and ``connect_args`` give.

    Raises:
        ConfigError: names the argument, and what may have been meant.
    """
    given = set(names)
    listeners: Any = dialect.dispatch.do_connect
    if not given or "async_creator_fn" in given or len(listeners):
        return
    try:
        knows, known = _KNOWN[dialect.driver](dialect.dbapi)
    except (AttributeError, ImportError, KeyError, TypeError, ValueError):
        return  # not the driver that it says it is
    for name in sorted(given - _ADAPTED if dialect.is_async else given):
        if not knows(name):
            import difflib  # where there is something to say

            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "correct it, or remove it"
            hint += _SETTINGS.get(dialect.driver, "")
            raise ConfigError(
                f"{dialect.driver} knows no argument {name!r}, which the URL or connect_args has: "
                f"{hint}"
            )


_SETTINGS = {
    "asyncpg": " (settings of the server go into connect_args={'server_settings': {…}})",
    **dict.fromkeys(
        ("asyncmy", "aiomysql"),
        " (in a URL, ssl_ca and ssl_check_hostname; or rds_iam_ca and rds_iam_tls)",
    ),
    "pg8000": " (settings of the server go into connect_args={'startup_params': {…}})",
}

_Known = tuple[Callable[[str], bool], list[str]]


def _psycopg(dbapi: Any) -> _Known:
    module = getattr(dbapi, "psycopg", dbapi)
    own = _parameters(module.Connection.connect)
    libpq = [option.keyword.decode() for option in module.pq.Conninfo.get_defaults()]
    known = [*own, *libpq]
    return known.__contains__, known


def _psycopg2(dbapi: Any) -> _Known:
    from psycopg2.extensions import parse_dsn

    own = [*_parameters(dbapi.connect), "async", "async_"]

    def knows(name: str) -> bool:
        try:
            return name in own or bool(parse_dsn(f"{name}=''"))
        except dbapi.ProgrammingError:
            return False

    return knows, own


def _asyncpg(dbapi: Any) -> _Known:
    known = _parameters(dbapi.asyncpg.connect)
    return known.__contains__, known


def _pg8000(dbapi: Any) -> _Known:
    known = _parameters(dbapi.connect)
    return known.__contains__, known


def _pymysql(dbapi: Any) -> _Known:
    known = _parameters(dbapi.connections.Connection)
    return known.__contains__, known


def _asyncmy(dbapi: Any) -> _Known:
    # Compiled functions of Cython's have a signature, too.
    known = _parameters(dbapi.asyncmy.connect)
    return known.__contains__, known


def _aiomysql(dbapi: Any) -> _Known:
    known = _parameters(dbapi.aiomysql.Connection)
    return known.__contains__, known


def _mysqldb(dbapi: Any) -> _Known:
    # What is written in C has no signature.
    from MySQLdb import connections

    source = inspect.getsource(connections.Connection.__init__)
    own = [*_OF_MYSQLDB, *re.findall(r'kwargs2\.pop\("(\w+)"', source)]

    def knows(name: str) -> bool:
        if name in own:
            return True
        try:
            # It looks at the names before it looks at this value, and connects only after that.
            dbapi._mysql.connection(ssl_mode="?", **{name: None})  # noqa: SLF001
        except TypeError as error:
            return "invalid keyword" not in str(error)
        except dbapi.Error:
            pass
        return True

    return knows, own


_OF_MYSQLDB = ("db", "passwd", "conv", "cursorclass", "charset", "collation", "ssl", "ssl_mode")


def _mysqlconnector(_dbapi: Any) -> _Known:
    from mysql.connector import constants  # the driver's own table

    known = [*constants.DEFAULT_CONFIGURATION, *constants.CNX_POOL_ARGS]
    known += ["username", "option_files", "option_groups", "failover", "read_default_file"]
    return known.__contains__, known


def _mariadb(dbapi: Any) -> _Known:
    # What it is made of takes any name, and has no signature.
    told = re.findall(r"`(\w+)`(?=.*\*\*)", str(dbapi.connect.__doc__))
    if "ssl_verify_cert" not in told:
        raise ValueError
    known = [*told, *_OF_MARIADB]
    return known.__contains__, known


_OF_MARIADB = (
    *("client_flag", "pool_name", "pool_size", "pool_reset_connection", "ssl_crl", "ssl_enforce"),
    *("tls_fp", "tls_fp_list", "tls_peer_fp", "tls_peer_fp_list", "pool_validation_interval"),
)


def _parameters(function: Callable[..., Any]) -> list[str]:
    """The names that a function takes, but for those in ``**kwargs``."""
    parameters = inspect.signature(function).parameters.values()
    return [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]


_KNOWN: dict[str, Callable[[Any], _Known]] = {
    "psycopg": _psycopg,
    "psycopg2": _psycopg2,
    "asyncpg": _asyncpg,
    "pg8000": _pg8000,
    "pymysql": _pymysql,
    "asyncmy": _asyncmy,
    "aiomysql": _aiomysql,
    "mysqldb": _mysqldb,
    "mysqlconnector": _mysqlconnector,
    "mariadbconnector": _mariadb,
}
