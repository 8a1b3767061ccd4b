"""The way of every physical connect: SQLAlchemy's ``do_connect`` event, sync and async alike.

See "Generating dynamic authentication tokens" in SQLAlchemy's documentation. `_do_connect` reads
from top to bottom: where to, with which password, the driver, and once more if it was refused.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from time import monotonic
from typing import Any

from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from sqlalchemy_rds_iam import _frames
from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._connecting.connect_errors import explain_failure
from sqlalchemy_rds_iam._connecting.failover import Failover, SearchUnderWay
from sqlalchemy_rds_iam._connecting.other_listeners import Beside, is_alone
from sqlalchemy_rds_iam._connecting.provider import (
    ConnectPlan,
    Failure,
    PasswordProvider,
)
from sqlalchemy_rds_iam._connecting.queueing import ConnectQueue
from sqlalchemy_rds_iam._connecting.runtime import Runtime
from sqlalchemy_rds_iam._databases.dialing import Connect
from sqlalchemy_rds_iam._ratelimit.retry_policy import NEVER, RetryState
from sqlalchemy_rds_iam.errors import RdsIamError


class ConnectListener:
    """Opens every physical connection of one engine.

    It does not hold the engine, which so can be collected.

    Args:
        config: the options.
        provider: where the passwords come from.
        runtime: how the engine waits.

    Attributes:
        connects: how many logins were accepted.
        listener: what SQLAlchemy is to call.
        provider: where the passwords come from.
    """

    def __init__(self, config: PluginOptions, provider: PasswordProvider, runtime: Runtime) -> None:
        self.connects = 0
        self.provider = provider
        for cache in provider.caches:
            if cache.observer is not None:
                cache.observer.subscribe(provider.reporter)
        self._config, self._timeout = config, config.timeout
        self._plans = provider.plans
        self._runtime, self._user = runtime, provider.driver.user
        self._queue = ConnectQueue(config, runtime)
        self._failover = Failover.of(config, provider, runtime)
        self._clock = provider.caches[0].clock
        self.listener = self._do_connect

    def _do_connect(
        self,
        dialect: Dialect,
        record: ConnectionPoolEntry | None,
        cargs: list[Any],
        cparams: dict[str, Any],
    ) -> DBAPIConnection:
        # As `Driver.key` does, without the call.
        key = cparams.get("host"), cparams.get("port"), cparams.get(self._user)
        handled = sys.exception()
        began = monotonic()
        deadline = began + self._timeout
        plan = self._plans.get(key) or self.provider.plan(cparams, deadline)
        state = beside = None
        moving = plan.target.moving
        plan, state = self._first(cparams, plan, began, deadline) if moving else (plan, None)
        deadline = state.deadline if state else deadline
        while True:
            target, entry, limiter = plan.target, plan.entry, plan.limiter
            # After all that takes its time, so that it is still good when it is used.
            now = self._clock()
            password = plan.password or entry.fresh(now) or self.provider.acquire(entry, deadline)
            # A connect that comes again waits for its turn like a new one; the first one of all may
            # have to wait for what comes of another; and each, if the limiter says so.
            if limiter is not None and (
                state or entry.accepted_at == NEVER or not limiter.try_acquire(began)
            ):
                state = state or RetryState(began, deadline)
                self._queue.wait(limiter, entry, state)
                password = self.provider.acquire(entry, deadline)
            try:
                connect = target.dial(dialect, target.limit) if target.dial else dialect.connect
                # As `is_alone` does, without the call.
                listeners: Any = dialect.dispatch.do_connect
                if self._failover or len(listeners.listeners) > 1 or listeners.parent_listeners:
                    connect, beside = self._wrapped(dialect, record, plan, connect, state)
                added = target.added
                added = added if added.password is password else target.add(password)
                # Before 2.0.48 SQLAlchemy hands the same dict to every connect, and its frames keep
                # it: so what we add goes into one of our own, which no local variable holds.
                connection = connect(*cargs, **{**cparams, **added.arguments})
                break
            except BaseException as error:
                before = handled, self._runtime.handled(error)
                _frames.clear(error, sys._getframe(), before, forget=target.driver.family.forget)  # noqa: SLF001
                state = state or RetryState(began, deadline)
                result = self._after(Failure(error, cparams, plan, password, now, state), beside)
                # An error keeps this frame, in which no password must be found.
                del plan, password
                if result is error:
                    raise
            if isinstance(result, BaseException):
                try:
                    raise result
                finally:
                    del result, state
            plan, deadline = result, state.deadline
        self.connects += 1
        if beside is not None and beside.in_charge is not None:
            return connection
        entry.accepted_at = monotonic()
        if limiter is not None:
            limiter.accepted(entry.accepted_at)
        if state is not None or not password.accepted:
            self.provider.on_accepted(password)
        return connection

    def _first(
        self, cparams: Mapping[str, Any], plan: ConnectPlan, began: float, deadline: float
    ) -> tuple[ConnectPlan, RetryState | None]:
        """What the first attempt takes; and what was tried before it, if its name led nowhere."""
        try:
            return self._brought_up(cparams, plan, deadline), None
        except RdsIamError as error:
            state = RetryState(began, deadline)
            again = partial(self._anew, dict(cparams))
            result = self._failover and self._failover.after(error, plan, state, again)
            if not isinstance(result, ConnectPlan):
                raise
            return result, state

    def _brought_up(
        self, cparams: Mapping[str, Any], plan: ConnectPlan, deadline: float
    ) -> ConnectPlan:
        """What connecting takes as of now: a file, a context or an address may have changed."""
        if not plan.is_current:
            plan = self.provider.plan(cparams, deadline)
        target = plan.target
        if target.resolve is None:
            return plan
        found = [target.resolve]
        try:
            found = self._runtime.resolve(target.resolve, deadline - monotonic())
        except RdsIamError:
            if target.tunnelled:
                raise
            # The driver looks it up, too, and is going to say so in its own words.
        plan = plan.at(found)
        if plan.target.resolve is None:
            self._plans[plan.key] = plan.having(None)
        return plan

    def _anew(self, cparams: dict[str, Any], deadline: float) -> ConnectPlan:
        """What connecting takes, with each name looked up again."""
        plan = self._plans.get(self.provider.driver.key(cparams))
        return self._brought_up(cparams, plan or self.provider.plan(cparams, deadline), deadline)

    def _wrapped(
        self,
        dialect: Dialect,
        record: ConnectionPoolEntry | None,
        plan: ConnectPlan,
        connect: Connect,
        state: RetryState | None,
    ) -> tuple[Connect, Beside | None]:
        """The function that connects, looks at the server, and calls the listeners after ours."""
        if self._failover is not None:
            connect = self._failover.checked(connect, dialect, record, plan, state)
        if is_alone(dialect):
            return connect, None
        target, config = plan.target, self._config
        beside = Beside(
            self.listener, dialect, record, target=target, connect=connect, config=config
        )
        return beside, beside

    def _after(self, failure: Failure, beside: Beside | None) -> ConnectPlan | BaseException:
        """What comes after a failed attempt: another one, or the error that the caller gets."""
        error, cparams, plan, password, *_ = failure
        failover = self._failover
        if not isinstance(error, Exception):
            failure.state.hand_on(plan.entry)
            if failover is not None:
                failover.give_up(plan, failure.state)
            return error
        if beside is not None and beside.in_charge is not None:
            self.provider.forget(plan.entry, password)
            beside.note(error)
            return error
        result: ConnectPlan | BaseException = error
        if not isinstance(error, SearchUnderWay):
            try:
                result = self.provider.on_failure(failure)
            except BaseException:
                failure.state.hand_on(plan.entry)
                raise
        if result is error and failover is not None:
            again = partial(self._anew, dict(cparams))
            result = failover.after(error, plan, failure.state, again)
        if result is error:
            told = {**cparams, **plan.target.filled}
            explain_failure(error, told, told.get("host"), plan.target, self._config)
        elif isinstance(result, ConnectPlan) and result.target is not plan.target:
            return self._brought_up(cparams, result, failure.state.deadline)
        return result
