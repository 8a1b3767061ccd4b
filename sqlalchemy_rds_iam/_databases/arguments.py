"""Arguments that no driver is going to take: found when the engine is made, not at each connect."""

from __future__ import annotations

import inspect
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


def _parameters(function: Callable[..., Any]) -> list[str]:
    """The names that a function takes, but for those in ``**kwargs``."""
    parameters = inspect.signature(function).parameters.values()
    return [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]


_KNOWN: dict[str, Callable[[Any], _Known]] = {
    "psycopg": _psycopg,
    "psycopg2": _psycopg2,
    "asyncpg": _asyncpg,
    "pg8000": _pg8000,
}
