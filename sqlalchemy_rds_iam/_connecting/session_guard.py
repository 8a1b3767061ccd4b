"""Pooled connections whose server has become read-only: found at checkout, else at a first failure.

A pool keeps its connections to a demoted writer for as long as each of them answers. Neither
``pool_pre_ping`` nor the driver's errors tell SQLAlchemy that they are of no use any more.

The ping of ``pool_pre_ping`` finds out at no cost: a server that reports does so with its answer,
and one that reports nothing is asked in its place.

See "Dealing with Disconnects" and "Custom DBAPI Exception Handling" in SQLAlchemy's documentation.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine, ExceptionContext
from sqlalchemy.exc import DisconnectionError, InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from sqlalchemy_rds_iam._connecting.failover import ACCEPTED, ask
from sqlalchemy_rds_iam._databases.drivers import Driver
from sqlalchemy_rds_iam._databases.session_attrs import (
    NOTHING,
    Answered,
    SessionRules,
    no_report,
)
from sqlalchemy_rds_iam._failover.wanted import fits, will_do

_WRITES = {"read-write", "primary"}

_DOUBTED = "rds_iam_session_doubted"
"""The key in a pooled connection's ``info`` that has the next checkout ask its server."""


class SessionGuard:
    """Keeps the pool of one engine free of connections to the wrong server.

    Args:
        wanted: which server it must be.
        driver: of the engine.
        rules: how the family of databases tells which server it is.
    """

    def __init__(self, wanted: str, driver: Driver, rules: SessionRules) -> None:
        self._wanted, self._rules = wanted, rules
        self._reported = driver.reported

    def attach(self, engine: Engine) -> None:
        """Listen to the checkouts or the pings, and to the errors, of `engine`."""
        self._dialect = engine.dialect
        if self._reported is no_report:
            # SQLAlchemy has no event for it; an engine's dialect is its own.
            engine.dialect.do_ping = self._ping  # type: ignore[method-assign]
        else:
            event.listen(engine, "checkout", self._on_checkout)
        if self._wanted in _WRITES:
            event.listen(engine, "handle_error", self._on_error)

    def _on_checkout(
        self, connection: Any, record: ConnectionPoolEntry, _proxy: PoolProxiedConnection
    ) -> None:
        """Look at what was reported with the last answer, that of the ping; it costs no round trip.

        Raises:
            DisconnectionError: it is closed, or not what is wanted; SQLAlchemy connects anew. If
                it is the server that has changed, it doubts all connections of the pool.
        """
        try:
            reported = self._reported(connection)
        except Exception as error:
            raise DisconnectionError("this connection is closed") from error
        # A server that reports nothing is found out by its errors; what was asked about counts.
        known = reported in {NOTHING, record.info.get(ACCEPTED)} or fits(self._wanted, reported)
        if known and not record.info.pop(_DOUBTED, False):
            return
        answered = self._answered(connection)
        if answered is None or not will_do(self._wanted, answered):
            raise InvalidatePoolError(f"this connection's server is not {self._wanted} any more")
        if answered.read_only and not known and self._wanted == "read-write":
            # An application's own SET SESSION CHARACTERISTICS, which no pool takes back.
            raise DisconnectionError("this session was made read-only by default")
        record.info[ACCEPTED] = reported

    def _ping(self, dbapi_connection: Any) -> bool:
        """Ask the server which one it is, in one round trip as a ping of the driver's takes.

        Returns:
            False if it is not what is wanted, or gone; SQLAlchemy then doubts all connections of
            the pool.
        """
        try:
            answered = ask(self._dialect, dbapi_connection, self._rules)
        except Exception as error:
            said: Any = error
            # Not all that drivers say of that is a disconnect to SQLAlchemy, and old versions of it
            # leave the question to the ping.
            gone = self._dialect.is_disconnect(said, dbapi_connection, None)
            if gone or self._rules.is_unreachable(error):
                return False
            raise
        return will_do(self._wanted, answered)

    def _on_error(self, context: ExceptionContext) -> None:
        """Have SQLAlchemy drop connections to a server that has become read-only."""
        connection, error = context.connection, context.original_exception
        if connection is None or not self._rules.is_read_only(error):
            return
        if not (self._rules.may_be_users and self._is_users_own(context)):
            context.is_disconnect = context.invalidate_pool_on_disconnect = True

    def _is_users_own(self, context: ExceptionContext) -> bool:
        """Whether it is a transaction that is read-only by the user's wish, on the right server.

        SQL is refused in a transaction that has failed, so the server is asked outside of it, and
        only where what was reported leaves it open.
        """
        connection = context.connection
        assert connection is not None
        pooled = connection.connection
        raw: Any = pooled.dbapi_connection
        standby, read_only = reported = self._reported(raw)
        if standby and pooled.info.get(ACCEPTED) != reported:
            return False
        if connection.in_nested_transaction() or (standby is False and not read_only):
            # A rollback would take what is around the savepoint away. The next checkout asks, as
            # a server need not tell the truth about itself.
            pooled.info[_DOUBTED] = True
            return True
        answered = self._answered(raw)
        return answered is not None and will_do(self._wanted, answered)

    def _answered(self, connection: Any) -> Answered | None:
        """What the server says of a session, whose transaction it ends; None if it cannot."""
        try:
            self._dialect.do_rollback(connection)
            return ask(self._dialect, connection, self._rules)
        except Exception:  # noqa: BLE001  (it is broken, whatever the driver's words)
            return None
