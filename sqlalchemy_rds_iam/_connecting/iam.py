"""Connecting with IAM tokens: what is signed, in whose turn, and what a refusal may mean."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Any

from sqlalchemy_rds_iam._aws.ambient import ambient_region
from sqlalchemy_rds_iam._config.options import IamOptions
from sqlalchemy_rds_iam._connecting.lateness import Lateness
from sqlalchemy_rds_iam._connecting.listener import Connector, ConnectPlan
from sqlalchemy_rds_iam._connecting.login_errors import explain, is_refusal, is_throttled
from sqlalchemy_rds_iam._connecting.reporting import EngineCounters
from sqlalchemy_rds_iam._connecting.runtime import Runtime
from sqlalchemy_rds_iam._databases.drivers import Driver, Target
from sqlalchemy_rds_iam._endpoints.cname import Names, is_alias
from sqlalchemy_rds_iam._passwords.cache import PasswordCache
from sqlalchemy_rds_iam._passwords.cache_entry import CacheEntry
from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam._ratelimit.limiter import QueueTimeout, RateLimiter
from sqlalchemy_rds_iam._ratelimit.registry import limiter_for
from sqlalchemy_rds_iam._ratelimit.retry_policy import Retry, RetryState
from sqlalchemy_rds_iam.errors import WaitTimeout
from sqlalchemy_rds_iam.events import Kind

logger = logging.getLogger("sqlalchemy_rds_iam")


class IamConnector(Connector):
    """The way of every physical connect of one engine with the plugin ``rds_iam``.

    Args:
        config: the options.
        driver: of the engine.
        tokens: of the engine's identity.
        waits: how the engine waits.
        remedy: returns the command that the error of a refused login names.
    """

    _config: IamOptions

    def __init__(
        self,
        config: IamOptions,
        driver: Driver,
        tokens: PasswordCache,
        runtime: Runtime,
        remedy: Callable[[], str],
    ) -> None:
        super().__init__(config, driver, tokens, runtime, EngineCounters(config))
        self._remedy = remedy
        self._names = Names(self._clock) if config.resolve_cname else None

    def validate(self, cparams: dict[str, Any]) -> None:
        """Do what each connect is going to do before the driver is called, but send nothing.

        Raises:
            ConfigError: the connect arguments cannot work, or are not safe.
        """
        if self._names is not None and is_alias(cparams.get("host")):
            # An async application is on its loop here: where the name leads, region included, has
            # to wait. Everything else is looked at.
            self._driver.target(cparams, self._config, lambda: "unknown")
        else:
            self._settle(cparams)

    def _settle(self, cparams: dict[str, Any], *found: str) -> ConnectPlan:
        """Work out, once for each host, port, user and RDS name `found`, what connecting takes."""
        config = replace(self._config, host=found[0]) if found else self._config
        target = self._driver.target(cparams, config, lambda: ambient_region(config, needed=True))
        if target.host.region is None and target.host.kind != "global-writer":
            logger.warning(
                "tokens are signed for %s, which is no RDS endpoint name; RDS accepts only those "
                "signed for its own names, see rds_iam_host and rds_iam_resolve_cname",
                target.endpoint,
            )
        host, port, *_ = target.endpoint
        limiter = limiter_for(host, port, config.connect_rate, config.rate_storage)
        plan = ConnectPlan(target, self._cache.entry(target.endpoint), limiter)
        self._plans[cparams["host"], cparams.get("port"), cparams["user"], *found] = plan
        return plan

    def _look_up(
        self, key: tuple[Any, ...], cparams: dict[str, Any], deadline: float
    ) -> ConnectPlan:
        # New connect arguments, or a CNAME that leads elsewhere now.
        names, alias, *_ = self._names, *key
        found = names.known(alias) if names is not None else None
        if found is not None and (plan := self._plans.get((*key, found))):
            return plan
        if names is None or not is_alias(alias):
            return self._settle(cparams)
        remaining = deadline - monotonic()

        def look_up() -> ConnectPlan:
            name = names.look_up(alias, remaining, self._config.failure_ttl)
            return self._plans.get((*key, name)) or self._settle(cparams, name)

        return self._runtime.run(look_up, remaining)

    def _settle_again(self, cparams: dict[str, Any], target: Target) -> ConnectPlan:
        found = (target.host.host,) if self._names and is_alias(cparams.get("host")) else ()
        return self._settle(cparams, *found)

    def _queue(
        self, limiter: RateLimiter, entry: CacheEntry, attempts: RetryState
    ) -> IssuedPassword:
        deadline, lateness = attempts.deadline, Lateness()
        if self._config.throttle_retry:
            while seconds := attempts.wait_for_first(entry, monotonic()):
                with lateness.of(seconds):
                    self._runtime.sleep(seconds)
        ticket = None
        try:
            ticket = limiter.enqueue(monotonic(), deadline)
            while True:
                if (work := limiter.background_work(monotonic())) is not None:
                    self._runtime.start(work)
                if ticket is None:
                    break
                with lateness.of(ticket.wait):
                    self._runtime.sleep(ticket.wait)
                ticket = limiter.poll(ticket, monotonic(), deadline)
        except QueueTimeout as queue_timeout:
            if ticket is not None:
                limiter.cancel()
            attempts.give_up(entry)
            raise self._queue_timeout(queue_timeout, limiter, entry, attempts, lateness) from None
        except BaseException:
            if ticket is not None:
                limiter.cancel()
            raise
        return entry.fresh(self._clock()) or self._acquirer.acquire(entry, deadline)

    def _queue_timeout(
        self,
        queue_timeout: QueueTimeout,
        limiter: RateLimiter,
        entry: CacheEntry,
        attempts: RetryState,
        lateness: Lateness,
    ) -> WaitTimeout:
        if late := lateness.told(self._timeout):
            return WaitTimeout(
                f"not connected to {entry.endpoint} within {self._timeout:g} s (rds_iam_timeout): "
                f"{late}"
            )
        return WaitTimeout(
            f"no turn to connect to {entry.endpoint} within {self._timeout:g} s "
            f"(rds_iam_timeout): {queue_timeout.waiting} connects come before this one, at "
            f"{limiter.current_rate:.0f} a second (rds_iam_connect_rate={limiter.rate}); "
            f"{attempts.throttled} logins of this one were refused, as if throttled. Keep "
            "more connections in the pool, put RDS Proxy in between, or raise the rate if "
            "AWS allows more"
        )

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
        if self._names is not None:
            self._names.doubt(dialled)
        target, entry, _ = plan
        throttled = is_throttled(error)
        if not throttled and not is_refusal(error):
            return None
        again = self._once_more(
            error, attempts, plan, token=token, used_at=used_at, throttled=throttled
        )
        if again is not None:
            attempts.retried += 1
            text, attempt = "login at %s is tried again (attempt %d)", attempts.retried + 1
            endpoint = entry.endpoint
            self._report(
                "retried", entry, again, logging.DEBUG, text, endpoint, attempt, attempt=attempt
            )
        elif not throttled:
            self._cache.forget(entry, token)
            explain(
                error,
                endpoint=target.endpoint,
                host=target.host,
                token=token,
                credentials=self._cache.credentials,
                now=self._clock(),
                command=self._remedy(),
            )
        return again

    def _once_more(
        self,
        error: Exception,
        attempts: RetryState,
        plan: ConnectPlan,
        *,
        token: IssuedPassword,
        used_at: float,
        throttled: bool,
    ) -> IssuedPassword | None:
        """A token for another attempt after a refusal; None if the refusal is the answer."""
        _, entry, limiter = plan
        patient = limiter is not None and self._config.throttle_retry
        answer = None
        if not throttled and attempts.doubt(entry, monotonic(), patient=patient):
            answer = self._cache.on_refused(entry, token, age=used_at - token.signed_at)
        self._report_refused(error, entry, token, reloads=answer is not None and not answer.token)
        if answer is not None:
            found = self._acquirer.acquire_after_refusal(entry, answer, attempts.deadline)
            if found is not None:
                return found
        if limiter is None or not patient:
            return None
        before = attempts.throttled
        retry = attempts.again(entry, limiter, monotonic(), certain=throttled)
        if attempts.throttled > before:
            self._report_throttled(entry, token, limiter, retry)
        if retry is None:
            return None
        self._runtime.sleep(retry.pause)
        return entry.fresh(self._clock()) or self._acquirer.acquire(entry, attempts.deadline)

    def _report_refused(
        self, error: Exception, entry: CacheEntry, token: IssuedPassword, *, reloads: bool
    ) -> None:
        level, text, args = logging.DEBUG, "token for %s refused", [str(entry.endpoint)]
        if reloads:
            level, text = logging.WARNING, "token for %s refused; reloading %s"
            args.append(self._cache.what)
        self._report("refused", entry, token, level, text, *args, error=type(error).__name__)

    def _report_throttled(
        self, entry: CacheEntry, token: IssuedPassword, limiter: RateLimiter, retry: Retry | None
    ) -> None:
        rate = limiter.current_rate
        self._report(
            "throttled",
            entry,
            token,
            logging.WARNING if retry and retry.slowed else logging.DEBUG,
            "logins at %s seem to be throttled: %.0f new connections a second for now",
            entry.endpoint,
            rate,
            rate=rate,
            pause=retry and retry.pause,
        )

    def _report(
        self,
        kind: Kind,
        entry: CacheEntry,
        token: IssuedPassword,
        level: int,
        text: str,
        *args: Any,
        **more: Any,
    ) -> None:
        about = {"endpoint": entry.endpoint, "cached": entry.signer, "token": token}
        self.reporter.report(kind, self._clock(), level, text, *args, **about, **more)
