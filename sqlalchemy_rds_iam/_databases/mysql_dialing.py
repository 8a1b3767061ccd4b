"""How long MySQL's drivers may take to connect: the whole of it, whatever their own limit is of.

Their own limit is about TCP alone (PyMySQL, asyncmy, aiomysql), after which they wait for a silent
server for as long as the network does; or it is about each wait by itself (the others), so that a
server which sends a byte now and then holds them up for ever. What the user has set is the limit
for the whole.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import socket
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from sqlalchemy.engine import Dialect

from sqlalchemy_rds_iam._databases import aiomysql_guard, dialing, mysql_errors
from sqlalchemy_rds_iam._databases.dialing import Connect, Limit, Place, connected
from sqlalchemy_rds_iam.errors import ConfigError

CREATOR = "async_creator_fn"
"""SQLAlchemy's argument for a function that connects in an async driver's place."""

_UNREACHABLE = 2003  # CR_CONN_HOST_ERROR, as the drivers themselves say

Problem = Callable[[Any, str], Exception]
"""Makes the error of a DBAPI that says what is wrong."""


def limit(*names: str) -> Limit:
    """The limit of a driver that has an argument for whole seconds, by all of its names."""

    def limited(given: Mapping[str, Any], seconds: float, addresses: int = 1) -> dict[str, Any]:
        del addresses
        has_own = any(given.get(name) not in {None, ""} for name in names)
        return {} if has_own else {names[0]: max(int(seconds), 1)}

    return limited


def numbered(dbapi: Any, text: str) -> Exception:
    """The error of a driver whose errors begin with their number."""
    error: Exception = dbapi.OperationalError(_UNREACHABLE, text)
    return error


def mysqlconnector_error(dbapi: Any, text: str) -> Exception:
    """The error of MySQL Connector/Python."""
    error: Exception = dbapi.OperationalError(text, _UNREACHABLE)
    return error


def mariadb_error(dbapi: Any, text: str) -> Exception:
    """The error of MariaDB Connector/Python."""
    error: Any = dbapi.OperationalError(text)
    error.errno = _UNREACHABLE
    return error  # type: ignore[no-any-return]


def pymysql(dialect: Dialect, seconds: float) -> Connect:
    """Connect with PyMySQL, by a socket of ours.

    Args:
        dialect: the engine's.
        seconds: for the name, all of its addresses, TLS and the login together.
    """

    def connect(*cargs: Any, **cparams: Any) -> Any:
        def make(sock: socket.socket) -> Any:
            connection: Any = dialect.connect(*cargs, **{**cparams, "defer_connect": True})
            connection.connect(sock)
            return connection

        bound = cparams.get("bind_address")
        return connected(
            make,
            Place(cparams["host"], cparams["port"], (bound, 0) if bound else None),
            seconds=cparams.get("connect_timeout") or seconds,
            problem=functools.partial(numbered, dialect.loaded_dbapi),
        )

    return connect


def in_thread(problem: Problem, *names: str) -> Callable[[Dialect, float], Connect]:
    """Connect with a driver that makes its own socket: in a thread, which is waited for so long.

    Args:
        problem: makes the driver's error.
        names: of the driver's argument for a limit.
    """

    def dial(dialect: Dialect, seconds: float) -> Connect:
        def connect(*cargs: Any, **cparams: Any) -> Any:
            limits = [float(cparams[name]) for name in names if cparams.get(name)]
            where = f"{cparams['host']}:{cparams['port']}"
            waiting = [functools.partial(_once_loaded, dialect.connect, *cargs, **cparams)]
            del cparams  # an error keeps this frame, in which no password must be found
            return dialing.in_thread(
                waiting.pop(),
                seconds=limits[0] if limits else seconds,
                where=where,
                problem=functools.partial(problem, dialect.loaded_dbapi),
            )

        return connect

    return dial


def _once_loaded(connect: Connect, *cargs: Any, **cparams: Any) -> Any:
    """Connect, and once more if another thread has loaded the client's plugin in the meantime.

    Where the first connects of a process come at once, more than one finds that the plugin which
    sends tokens is not there; C clients then refuse to load it twice, and fail those connects.
    Source: ``mysql_load_plugin`` of MariaDB Connector/C, and of libmysqlclient.
    """
    try:
        return connect(*cargs, **cparams)
    except Exception as error:
        if mysql_errors.LOADED not in str(error):
            raise
    return connect(*cargs, **cparams)


def asyncmy(dialect: Dialect, seconds: float) -> Connect:
    """Connect with asyncmy within so many seconds, unless a function of the user's does it."""

    def connect(*cargs: Any, **cparams: Any) -> Any:
        if cparams.get(CREATOR):
            return dialect.connect(*cargs, **cparams)
        module: Any = dialect.loaded_dbapi
        limited = _within(dialect, module.asyncmy.connect, seconds)
        return _by(dialect, limited, cargs, cparams)

    return connect


def aiomysql(dialect: Dialect, seconds: float) -> Connect:
    """Connect with aiomysql, guarded, within so many seconds.

    Raises:
        ConfigError: by what is returned, if a listener has another function connect.
    """

    def connect(*cargs: Any, **cparams: Any) -> Any:
        refuse_creator(cparams)
        module: Any = dialect.loaded_dbapi
        guarded = aiomysql_guard.guarded(module.aiomysql)

        async def make(*args: Any, **arguments: Any) -> Any:
            connection = guarded(*args, **arguments)
            try:
                await connection._connect()  # noqa: SLF001  (as its own connect() does)
            except BaseException:
                connection.close()  # which it does not do when it is cancelled
                raise
            return connection

        return _by(dialect, _within(dialect, make, seconds), cargs, cparams)

    return connect


def refuse_creator(cparams: Mapping[str, Any]) -> None:
    """Refuse a function of the user's that would connect in the place of aiomysql's guard.

    Raises:
        ConfigError: there is one.
    """
    if cparams.get(CREATOR):
        raise ConfigError(
            f"{CREATOR} cannot be used with aiomysql, whose connections are made here, so that no "
            "password is sent without TLS: leave it out, or use asyncmy"
        )


def _within(
    dialect: Dialect, make: Callable[..., Any], seconds: float
) -> Callable[..., Coroutine[Any, Any, Any]]:
    """What makes a connection as `make` does, in the time that there is for it."""

    async def limited(*cargs: Any, **cparams: Any) -> Any:
        last = float(cparams.get("connect_timeout") or seconds)
        where = f"{cparams.get('host')}:{cparams.get('port')}"
        try:
            async with asyncio.timeout(last) as clock:
                return await make(*cargs, **cparams)
        except TimeoutError as late:
            if not clock.expired():
                raise
            text = f"no connection to {where} within {last:g} s"
            raise numbered(dialect.loaded_dbapi, text) from late

    return limited


def _by(
    dialect: Dialect, creator: Callable[..., Any], cargs: tuple[Any, ...], cparams: dict[str, Any]
) -> Any:
    """Have SQLAlchemy connect by a function of ours."""
    dbapi: Any = dialect.loaded_dbapi
    if CREATOR in dbapi.connect.__code__.co_consts:
        return dialect.connect(*cargs, **cparams, **{CREATOR: creator})
    # Before 2.0.16 there is no such argument: what it calls is the function of the module it holds.
    dbapi = copy.copy(dbapi)
    setattr(dbapi, dialect.driver, _Module(getattr(dbapi, dialect.driver), creator))
    return dbapi.connect(*cargs, **cparams)


class _Module:
    """A driver's module with another function to connect."""

    def __init__(self, module: Any, connect: Callable[..., Any]) -> None:
        self._module, self.connect = module, connect

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)
