"""The way of every physical connect: SQLAlchemy's ``do_connect`` event, sync and async alike.

See "Generating dynamic authentication tokens" in SQLAlchemy's documentation. `_do_connect` reads
from top to bottom: where to, with which token, the driver, and once more if it was refused.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from time import monotonic
from typing import Any, NamedTuple

from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from sqlalchemy_rds_iam import _frames
from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._connecting.acquire import PasswordAcquirer
from sqlalchemy_rds_iam._connecting.connect_errors import explain_failure
from sqlalchemy_rds_iam._connecting.other_listeners import Beside
from sqlalchemy_rds_iam._connecting.reporting import EngineCounters
from sqlalchemy_rds_iam._connecting.runtime import Runtime
from sqlalchemy_rds_iam._databases.dialing import Connect
from sqlalchemy_rds_iam._databases.drivers import Driver, Target
from sqlalchemy_rds_iam._passwords.cache import PasswordCache
from sqlalchemy_rds_iam._passwords.cache_entry import CacheEntry
from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam._ratelimit.limiter import RateLimiter
from sqlalchemy_rds_iam._ratelimit.retry_policy import NEVER, RetryState
from sqlalchemy_rds_iam.errors import RdsIamError


class ConnectPlan(NamedTuple):
    """What connecting takes, for one host, port and user.

    Attributes:
        target: where to, and the connect arguments beside the password.
        entry: where the cache keeps the token.
        limiter: when a connect may begin; None for at any time.
    """

    target: Target
    entry: CacheEntry
    limiter: RateLimiter | None


class Connector:
    """The way of every physical connect of one engine. It does not hold the engine.

    What differs between tokens and passwords is in the methods that raise NotImplementedError.

    Attributes:
        connects: how many logins were accepted.
        reporter: what happens otherwise is reported there.
    """

    def __init__(
        self,
        config: PluginOptions,
        driver: Driver,
        tokens: PasswordCache,
        runtime: Runtime,
        reporter: EngineCounters,
    ) -> None:
        self.connects = 0
        self.reporter = reporter
        if tokens.observer is not None:
            tokens.observer.subscribe(reporter)
        self._config, self._timeout = config, config.timeout
        self._driver = driver
        self._cache, self._runtime = tokens, runtime
        self._acquirer = PasswordAcquirer(config, tokens, runtime, reporter)
        self._clock = tokens.clock
        self._plans: dict[tuple[Any, ...], ConnectPlan] = {}
        self.listener = self._do_connect

    @property
    def parts(self) -> tuple[Connector, ...]:
        """What the engine connects through: this."""
        return (self,)

    @property
    def tokens(self) -> PasswordCache:
        """The tokens of its identity."""
        return self._cache

    @property
    def plans(self) -> list[ConnectPlan]:
        """What connecting takes, for all connect arguments that were seen so far."""
        return list(self._plans.copy().values())

    def _do_connect(
        self,
        dialect: Dialect,
        record: ConnectionPoolEntry | None,
        cargs: list[Any],
        cparams: dict[str, Any],
    ) -> DBAPIConnection:
        key = cparams.get("host"), cparams.get("port"), cparams.get("user")
        handled = sys.exception()
        began = monotonic()
        deadline = began + self._timeout
        plan = self._plans.get(key) or self._look_up(key, cparams, deadline)
        target, entry, limiter = plan
        if target.moving:
            plan = target, entry, limiter = self._brought_up(key, cparams, plan, deadline)
        # After all that takes its time, so that it is still good when it is used.
        now = self._clock()
        token = entry.fresh(now) or self._acquirer.acquire(entry, deadline)
        attempts = beside = None
        while True:
            if limiter is not None and (
                attempts or entry.accepted_at == NEVER or not limiter.try_acquire(began)
            ):
                attempts = attempts or RetryState(began, deadline)
                token = self._queue(limiter, entry, attempts)
            try:
                connect = target.dial(dialect, target.limit) if target.dial else dialect.connect
                # What its len() adds up; calling that is dearer than all else on these lines.
                listeners: Any = dialect.dispatch.do_connect
                if len(listeners.listeners) > 1 or listeners.parent_listeners:
                    connect = beside = self._beside(dialect, record, target, connect)
                # Before 2.0.48 SQLAlchemy hands the same dict to every connect, and its frames keep
                # it: so what we add goes into one of our own, which no local variable holds.
                connection = connect(*cargs, **{**cparams, **target.changed, **token.arguments})
                break
            except BaseException as error:
                before = handled, self._runtime.handled(error)
                _frames.clear(error, sys._getframe(), before)  # noqa: SLF001
                attempts = attempts or RetryState(began, deadline)
                again = self._another(
                    error, cparams, attempts, plan, beside=beside, token=token, used_at=now
                )
                if again is None:
                    del token  # this frame is kept by the error, too
                    raise
                token = again
        self.connects += 1
        if beside is not None and beside.in_charge is not None:
            return connection
        entry.accepted_at = monotonic()
        if limiter is not None:
            limiter.accepted(entry.accepted_at)
        if not token.accepted:
            self._cache.accept(token)
        return connection

    def _brought_up(
        self, key: tuple[Any, ...], cparams: dict[str, Any], plan: ConnectPlan, deadline: float
    ) -> ConnectPlan:
        """What connecting takes as of now: a file, a context or an address may have changed."""
        if plan.target.watched is not None and not plan.target.watched.is_current():
            plan = self._settle_again(cparams, plan.target)
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
        arguments = {**target.arguments}
        if "connect_timeout" in arguments:
            # libpq tries one address after the other, each for the whole of its time limit.
            arguments |= self._driver.limit({}, target.limit, len(found))
        if target.tunnelled:
            addressed = replace(target, arguments=arguments | target.at(found))
            return plan._replace(target=addressed)
        # How many there are is worth a look-up once, not on every connect.
        target = replace(target, arguments=arguments, resolve=None)
        plan = self._plans[key] = plan._replace(target=target)
        return plan

    def _beside(
        self, dialect: Dialect, record: ConnectionPoolEntry | None, target: Target, connect: Connect
    ) -> Beside:
        return Beside(
            self.listener, dialect, record, target=target, connect=connect, config=self._config
        )

    def _another(
        self,
        error: BaseException,
        cparams: dict[str, Any],
        attempts: RetryState,
        plan: ConnectPlan,
        *,
        beside: Beside | None,
        token: IssuedPassword,
        used_at: float,
    ) -> IssuedPassword | None:
        """A token for another attempt; None if `error`, with a note, is what the caller gets."""
        if not isinstance(error, Exception):
            return None
        target, entry, _ = plan
        dialled = cparams.get("host")
        if beside is not None and beside.in_charge is not None:
            self._cache.forget(entry, token)
            beside.note(error)
            return None
        again = self._failed(error, dialled, attempts, plan, token=token, used_at=used_at)
        if again is None:
            explain_failure(error, cparams, dialled, target, self._config)
        return again

    def _look_up(
        self, key: tuple[Any, ...], cparams: dict[str, Any], deadline: float
    ) -> ConnectPlan:
        """Settle what connecting takes, for connect arguments that were not known yet."""
        raise NotImplementedError

    def _settle_again(self, cparams: dict[str, Any], target: Target) -> ConnectPlan:
        """Settle it once more, as a CA file has changed."""
        raise NotImplementedError

    def _queue(
        self, limiter: RateLimiter, entry: CacheEntry, attempts: RetryState
    ) -> IssuedPassword:
        """Wait for the turn of this connect, where there are any; the token to use then."""
        raise NotImplementedError

    def _failed(
        self,
        error: Exception,
        dialled: Any,
        attempts: RetryState,
        plan: ConnectPlan,
        *,
        token: IssuedPassword,
        used_at: float,
    ) -> IssuedPassword | None:
        """A token for another attempt; None if `error`, with a note, is what the caller gets."""
        raise NotImplementedError
