"""A connect that lands on the wrong server, or on none: it is tried again until it is right.

After a failover the name of the writer's endpoint leads to the old one for seconds, or to none at
all. Without this a pool fills with connections to a server that refuses every write.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from time import monotonic
from typing import Any

from sqlalchemy.engine import Dialect
from sqlalchemy.pool import ConnectionPoolEntry

from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._connecting.provider import ConnectPlan, PasswordProvider
from sqlalchemy_rds_iam._connecting.runtime import Runtime
from sqlalchemy_rds_iam._databases.dialing import Connect
from sqlalchemy_rds_iam._databases.session_attrs import Answered, SessionRules
from sqlalchemy_rds_iam._failover.server_search import ServerSearch
from sqlalchemy_rds_iam._failover.wanted import fits, will_do
from sqlalchemy_rds_iam._masking import on_one_line
from sqlalchemy_rds_iam._ratelimit.retry_policy import RetryState
from sqlalchemy_rds_iam._registry import Registry
from sqlalchemy_rds_iam.errors import RdsIamError, WrongServerError
from sqlalchemy_rds_iam.events import Kind

logger = logging.getLogger("sqlalchemy_rds_iam")

ACCEPTED = "rds_iam_session_attrs"
"""The key in a pooled connection's ``info`` for what was reported when its server was asked."""

_POLL = 0.05
"""Seconds, or up to twice as much, after which a connect that waits looks for news."""

_searches: Registry[ServerSearch] = Registry()


class SearchUnderWay(Exception):  # noqa: N818
    """A connect does not count: others look for the server, or have found it meanwhile."""


class Failover:
    """Keeps the connects of one engine to the server that they must be on.

    Args:
        config: the options.
        provider: where the passwords come from.
        runtime: how the engine waits.
        rules: how the family of databases tells which server it is.
    """

    def __init__(
        self,
        config: PluginOptions,
        provider: PasswordProvider,
        runtime: Runtime,
        rules: SessionRules,
    ) -> None:
        self._config, self._provider, self._runtime = config, provider, runtime
        self._rules, self._wanted = rules, config.target_session_attrs
        self._reported = provider.driver.reported
        self._clock = provider.caches[0].clock
        self._searches: dict[tuple[Any, ...], ServerSearch] = {}
        self._has_warned = False

    @staticmethod
    def is_under_way(error: BaseException) -> bool:
        """Whether a connect has failed only because others look for the server."""
        return isinstance(error, SearchUnderWay)

    def checked(
        self,
        connect: Connect,
        dialect: Dialect,
        record: ConnectionPoolEntry | None,
        plan: ConnectPlan,
        state: RetryState | None,
    ) -> Connect:
        """The function that connects, and then looks at the server.

        Raises:
            SearchUnderWay: by the function, if another connect looks for the server.
            WrongServerError: by the function, if it is another server than wanted.
        """
        search = self._search(plan)
        found, is_first = search.found, state is None or state.gives_up_at is None

        def connect_and_look(*args: Any, **cparams: Any) -> Any:
            if is_first and search.began_at is not None:
                raise SearchUnderWay
            try:
                connection = connect(*args, **cparams)
                try:
                    self._look(dialect, record, connection, plan)
                except BaseException:
                    close(dialect, connection)
                    raise
            except Exception as error:
                # A slow connect may have begun before the server was found.
                if search.found != found and self._is_elsewhere(error):
                    raise SearchUnderWay from error
                raise
            return connection

        return connect_and_look

    def _is_elsewhere(self, error: BaseException) -> bool:
        """Whether a connect has reached another server than wanted, or none."""
        return isinstance(error, WrongServerError) or self._rules.is_unreachable(error)

    def _look(
        self,
        dialect: Dialect,
        record: ConnectionPoolEntry | None,
        connection: Any,
        plan: ConnectPlan,
    ) -> None:
        reported = self._reported(connection)
        if not fits(self._wanted, reported):
            answered = ask(dialect, connection, self._rules)
            if not will_do(self._wanted, answered):
                raise WrongServerError(self._wrong(plan, answered))
            if record is not None:
                record.info[ACCEPTED] = reported
            self._warn_of_default(plan, answered)
        search = self._search(plan)
        if search.began_at is not None and (lasted := search.end(monotonic())) is not None:
            self._report("failover_ended", plan, search, lasted)

    def after(
        self, error: BaseException, plan: ConnectPlan, state: RetryState, again: Again
    ) -> ConnectPlan | BaseException:
        """Say what comes after a failed attempt: another one, if the right server was not reached.

        Args:
            error: what it failed with.
            plan: what was attempted.
            state: what this connect has tried so far; it gets a new deadline.
            again: makes the plan anew, until a deadline.

        Returns:
            The plan for it, or the error that the caller gets.
        """
        if not (isinstance(error, SearchUnderWay) or self._is_elsewhere(error)):
            self.give_up(plan, state)
            return error
        search = self._search(plan)
        while self._wait(error, plan, state, search):
            state.deadline = monotonic() + self._config.timeout
            try:
                return again(state.deadline)
            except RdsIamError as unresolved:
                if not self._rules.is_unreachable(unresolved):
                    self.give_up(plan, state)
                    raise
        if isinstance(error, SearchUnderWay | WrongServerError):
            return WrongServerError(self._in_vain(search.said))
        error.add_note(self._in_vain(f"{self._config.PLUGIN}: this was not the first attempt"))
        return error

    def _in_vain(self, said: str) -> str:
        return (
            f"{said}; no {self._wanted} server was found there within "
            f"{self._config.failover_timeout:g} s ({self._config.named('failover_timeout')})"
        )

    def give_up(self, plan: ConnectPlan, state: RetryState) -> None:
        """Let another connect probe: this one does not go on."""
        self._search(plan).release(state, monotonic(), gives_up=True)

    def _wait(
        self, error: BaseException, plan: ConnectPlan, state: RetryState, search: ServerSearch
    ) -> bool:
        """Wait until this connect may be tried again; False if there is no time left for that."""
        now = monotonic()
        if state.gives_up_at is None:
            state.gives_up_at = now + self._config.failover_timeout
        search.release(state, now)
        found = search.found
        if not isinstance(error, SearchUnderWay):
            search.said = _in_short(error)
            if search.begin(now):
                self._report("failover_begun", plan, search, 0.0, error)
        while now < state.gives_up_at:
            if search.may_go(state, found, now):
                return True
            left = state.gives_up_at - now
            self._runtime.sleep(min(_POLL * random.uniform(1.0, 2.0), left))  # noqa: S311
            now = monotonic()
        return False

    def _search(self, plan: ConnectPlan) -> ServerSearch:
        arguments = plan.target.arguments
        where = plan.target.dialled, arguments.get("port"), self._wanted
        search = self._searches.get(where)
        if search is None:
            search = self._searches[where] = _searches.shared(where, ServerSearch)
        return search

    def _wrong(self, plan: ConnectPlan, answered: Answered) -> str:
        is_what = "the primary"
        if answered.standby:
            is_what = self._rules.standby
        elif answered.read_only:
            is_what = "read-only by its own settings"
        return (
            f"the server at {plan.target.endpoint} is {is_what}, and "
            f"{self._config.named('target_session_attrs')}={self._wanted}"
        )

    def _warn_of_default(self, plan: ConnectPlan, answered: Answered) -> None:
        if self._wanted == "read-write" and answered.read_only and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "sessions at %s are read-only by default, as a role, a database or the URL wants: "
                "accepted, as it is not the server's doing",
                plan.target.endpoint,
            )

    def _report(
        self,
        kind: Kind,
        plan: ConnectPlan,
        search: ServerSearch,
        lasted: float,
        error: BaseException | None = None,
    ) -> None:
        endpoint = plan.target.endpoint
        if error is None:
            text = "a %s server answers again at %s, after %.1f s and %d connects in vain"
            args: tuple[Any, ...] = self._wanted, endpoint, lasted, search.attempts
        else:
            text = "no %s server at %s, looking for it for up to %g s: %s"
            args = self._wanted, endpoint, self._config.failover_timeout, search.said
        self._provider.reporter.report(
            kind,
            self._clock(),
            logging.WARNING,
            text,
            *args,
            endpoint=endpoint,
            failures=search.attempts,
            outage_age=lasted,
            error=None if error is None else type(error).__name__,
        )


Again = Callable[[float], ConnectPlan]
"""Makes the plan of a connect anew, names looked up, until a deadline."""


def ask(dialect: Dialect, connection: Any, rules: SessionRules) -> Answered:
    """Ask the server about a session; a transaction that this begins is ended."""
    cursor = connection.cursor()
    try:
        cursor.execute(rules.question)
        answered = Answered(*map(bool, cursor.fetchone()))
    except Exception as error:
        if not rules.is_read_only(error):
            raise
        # A standby takes no session that is serializable by default, not even for this.
        answered = Answered(standby=True, read_only=False, by_user=False)
    finally:
        cursor.close()
    if rules.begins:
        dialect.do_rollback(connection)
    return answered


def _in_short(error: BaseException) -> str:
    return on_one_line(str(error).strip().partition("\n")[0])


def close(dialect: Dialect, connection: Any) -> None:
    """Close a connection that nothing has used, without waiting for the server."""
    if getattr(dialect, "has_terminate", False):
        dialect.do_terminate(connection)
    else:
        dialect.do_close(connection)
