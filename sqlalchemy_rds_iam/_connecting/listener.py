"""The way of every physical connect: SQLAlchemy's ``do_connect`` event, sync and async alike.

See "Generating dynamic authentication tokens" in SQLAlchemy's documentation. `_do_connect` reads
from top to bottom: where to, with which password, the driver, and once more if it was refused.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sized
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from sqlalchemy_rds_iam import _frames
from sqlalchemy_rds_iam._concurrency import Counter
from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._connecting.connect_errors import explain_failure
from sqlalchemy_rds_iam._connecting.late_patching import warn_if_late
from sqlalchemy_rds_iam._connecting.other_listeners import (
    UNKNOWN,
    Beside,
    is_alone,
    listeners_of,
)
from sqlalchemy_rds_iam._connecting.provider import (
    ConnectPlan,
    Failure,
    PasswordProvider,
)
from sqlalchemy_rds_iam._connecting.queueing import ConnectQueue
from sqlalchemy_rds_iam._connecting.runtime import Runtime
from sqlalchemy_rds_iam._databases.dialing import Connect
from sqlalchemy_rds_iam._databases.drivers import NOTHING
from sqlalchemy_rds_iam._ratelimit.retry_policy import NEVER, RetryState
from sqlalchemy_rds_iam.errors import RdsIamError

if TYPE_CHECKING:
    from sqlalchemy_rds_iam._connecting.failover import Failover


class ConnectListener:
    """Opens every physical connection of one engine.

    It does not hold the engine, which so can be collected.

    Args:
        config: the options.
        provider: where the passwords come from.
        runtime: how the engine waits.
        failover: looks for the server that is wanted; None where every server will do.
        clock: tells the monotonic time.

    Attributes:
        accepted: counts the logins that were accepted.
        listener: what SQLAlchemy is to call.
        provider: where the passwords come from.
    """

    def __init__(
        self,
        config: PluginOptions,
        provider: PasswordProvider,
        runtime: Runtime,
        failover: Failover | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.accepted = Counter()
        self.provider = provider
        self._config, self._timeout = config, config.timeout
        self._plans = provider.plans
        # The plan of the last connect: the next one mostly has the same arguments.
        self._last: ConnectPlan | None = None
        self._listeners: tuple[Sized, Sized] = UNKNOWN
        self._runtime = runtime
        self._queue = ConnectQueue(config, runtime)
        self._failover = failover
        self._clock, self._monotonic = provider.caches[0].clock, clock
        self.listener = self._do_connect

    def _do_connect(  # noqa: C901, PLR0912  (the whole way of a connect is in one place)
        self,
        dialect: Dialect,
        record: ConnectionPoolEntry | None,
        cargs: list[Any],
        cparams: dict[str, Any],
    ) -> DBAPIConnection:
        handled = sys.exception()
        began = self._monotonic()
        deadline = began + self._timeout
        state = beside = None
        plan, merged = self._last, NOTHING
        if (
            plan is None
            or (merged := plan.target.merged).given != cparams
            or began >= plan.target.next_look
        ):
            plan, state = self._first(cparams, began, deadline)
            merged, deadline = NOTHING, state.deadline if state else deadline
        while True:
            target, entry, limiter = plan.target, plan.entry, plan.limiter
            # After all that takes its time, so that it is still good when it is used.
            now = self._clock()
            password = plan.password or entry.token
            # As `CacheEntry.fresh` does, without the call.
            if password is None or not password.signed_at <= now < password.fresh_until:
                password = plan.password or self.provider.acquire(entry, deadline)
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
                # As `is_alone` does, without the call; unknown for ever where there is a failover.
                own, inherited = self._listeners
                if len(own) > 1 or inherited:
                    connect, beside = self._wrapped(dialect, record, plan, connect, state)
                # Before 2.0.48 SQLAlchemy hands the same dict to every connect, and its frames keep
                # it: so what we add goes into one of our own, which no local variable holds.
                if merged.password is not password:
                    merged = target.merge(password, cparams)
                connection = connect(*cargs, **merged.arguments)
                break
            except BaseException as error:
                before = handled, self._runtime.handled(error)
                _frames.clear(error, sys._getframe(), before, forget=target.driver.family.forget)  # noqa: SLF001
                state = state or RetryState(began, deadline)
                result = self._after(Failure(error, cparams, plan, password, now, state), beside)
                # An error keeps this frame, in which no password must be found.
                del plan, password
                merged = NOTHING
                if result is error:
                    raise
            if isinstance(result, BaseException):
                try:
                    raise result
                finally:
                    del result, state
            plan, deadline = result, state.deadline
        next(self.accepted)
        if beside is not None and beside.in_charge is not None:
            return connection
        entry.accepted_at = self._monotonic()
        if limiter is not None:
            limiter.accepted(entry.accepted_at)
        if state is not None or not password.accepted:
            self.provider.on_accepted(password)
        return connection

    def _plan(self, cparams: Mapping[str, Any], deadline: float) -> ConnectPlan:
        """What connecting takes, as far as it is settled already; it is kept for the next one."""
        plan = self._last = self._plans.get(self.provider.driver.key(cparams))
        return plan or self.provider.plan(cparams, deadline)

    def _first(
        self, cparams: Mapping[str, Any], began: float, deadline: float
    ) -> tuple[ConnectPlan, RetryState | None]:
        """What the first attempt takes; and what was tried before it, if its name led nowhere."""
        warn_if_late()
        plan = self._plan(cparams, deadline)
        if began < plan.target.next_look:
            return plan, None
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
        self._last = None
        if not plan.is_current(self._monotonic()):
            plan = self.provider.plan(cparams, deadline)
        target = plan.target
        if target.resolve is None:
            return plan
        found = [target.resolve]
        try:
            found = self._runtime.resolve(target.resolve, deadline - self._monotonic())
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
        return self._brought_up(cparams, self._plan(cparams, deadline), deadline)

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
        else:
            self._listeners = listeners_of(dialect)
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
        warn_if_late()
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
        if failover is None or not failover.is_under_way(error):
            try:
                result = self._looked_again(failure) or self.provider.on_failure(failure)
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

    def _looked_again(self, failure: Failure) -> ConnectPlan | RdsIamError | None:
        """The plan for another attempt, if the CA file is not what it was at the last look.

        A connect that the last look has led astray must not be lost by it. Whatever the driver says
        of a file that is gone or out of date: a refused password has come past it.
        """
        error, cparams, plan, _, _, state = failure
        family = plan.target.driver.family
        if state.has_looked or family.is_refusal(error) or family.is_throttled(error):
            return None
        state.has_looked = True
        plan.target.doubt()
        if plan.is_current(self._monotonic()):
            return None
        try:
            return self._brought_up(cparams, plan, state.deadline)
        except RdsIamError as changed:
            return changed
