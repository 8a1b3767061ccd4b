"""Where IAM tokens for connects come from: what is signed, and what follows a refusal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any

from sqlalchemy_rds_iam._aws.ambient import ambient_region
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._connecting.acquire import PasswordAcquirer
from sqlalchemy_rds_iam._connecting.aliases import Aliases
from sqlalchemy_rds_iam._connecting.login_errors import explain, refused_login
from sqlalchemy_rds_iam._connecting.login_warnings import LOGIN_WARNINGS
from sqlalchemy_rds_iam._connecting.provider import ConnectPlan, Failure
from sqlalchemy_rds_iam._connecting.refusals import Meaning, meaning
from sqlalchemy_rds_iam._connecting.reporting import EngineCounters
from sqlalchemy_rds_iam._connecting.runtime import Runtime
from sqlalchemy_rds_iam._databases.drivers import Driver
from sqlalchemy_rds_iam._databases.token_causes import RefusedLogin
from sqlalchemy_rds_iam._passwords.cache import PasswordCache
from sqlalchemy_rds_iam._passwords.cache_entry import CacheEntry
from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam._ratelimit.registry import limiter_for
from sqlalchemy_rds_iam._ratelimit.retry_policy import NEVER, WINDOWS
from sqlalchemy_rds_iam.events import Kind

logger = logging.getLogger("sqlalchemy_rds_iam")


class TokenProvider:
    """Tokens for one engine with the plugin ``rds_iam``; see `PasswordProvider`.

    Args:
        config: the options.
        driver: of the engine.
        cache: the tokens of the engine's identity.
        runtime: how the engine waits.
        remedy: returns the command that the error of a refused login names.
    """

    def __init__(
        self,
        config: IamOptions,
        driver: Driver,
        cache: PasswordCache,
        runtime: Runtime,
        remedy: Callable[[], str],
    ) -> None:
        self.caches = (cache,)
        self.driver = driver
        self.plans: dict[tuple[Any, ...], ConnectPlan] = {}
        self.reporter = EngineCounters(config)
        self._config, self._cache, self._runtime = config, cache, runtime
        self._acquirer = PasswordAcquirer(config, cache, runtime, self.reporter)
        self._clock = cache.clock
        self._remedy = remedy
        self._aliases = Aliases(config, runtime, self._clock)

    def validate(self, cparams: Mapping[str, Any]) -> None:
        """Settle what can be settled before the first connect; see `PasswordProvider.validate`."""
        if self._aliases.has(_dialled(cparams)):
            # An async application is on its loop here: where the name leads, region included, has
            # to wait. Everything else is looked at.
            self.driver.target(cparams, self._config, lambda: "unknown")
        else:
            self._settle(cparams)

    def plan(self, cparams: Mapping[str, Any], deadline: float) -> ConnectPlan:
        """Settle what connecting takes, where a CNAME leads at the moment included."""
        return self._aliases.plan(_dialled(cparams), deadline, partial(self._settle, cparams))

    def _settle(self, cparams: Mapping[str, Any], *found: str) -> ConnectPlan:
        """Work out, once for each host, port, user and RDS name `found`, what connecting takes."""
        key = (*self.driver.key(cparams), *found)
        # Without a CNAME the listener has looked there itself, and by its own clock.
        plan = self.plans.get(key) if found else None
        if plan is not None and plan.is_current(monotonic()):
            return plan
        config = replace(self._config, host=found[0]) if found else self._config
        target = self.driver.target(cparams, config, lambda: ambient_region(config, needed=True))
        if target.host.region is None and target.host.kind != "global-writer":
            logger.warning(
                "tokens are signed for %s, which is no RDS endpoint name; RDS accepts only those "
                "signed for its own names, see rds_iam_host and rds_iam_resolve_cname",
                target.endpoint,
            )
        host, port, *_ = target.endpoint
        limiter = limiter_for(host, port, config.connect_rate, config.rate_storage)
        plan = ConnectPlan(target, self._cache.entry(target.endpoint), limiter, key)
        self.plans[key] = plan
        return plan

    def acquire(self, entry: CacheEntry, deadline: float) -> IssuedPassword:
        """A token, and all the waiting that takes."""
        return entry.fresh(self._clock()) or self._acquirer.acquire(entry, deadline)

    def on_accepted(self, password: IssuedPassword) -> None:
        """Note that the server takes this token."""
        if not password.accepted:
            self._cache.accept(password)

    def forget(self, entry: CacheEntry, password: IssuedPassword) -> None:
        """Drop a token that may have been refused."""
        self._cache.forget(entry, password)

    def on_failure(self, failure: Failure) -> ConnectPlan | BaseException:
        """Reload credentials that may be out of date, wait if logins are throttled, or explain."""
        self._aliases.doubt(_dialled(failure.cparams))
        error, plan, state = failure.error, failure.plan, failure.state
        patient = plan.limiter is not None and self._config.retries_throttled

        def means() -> Meaning:
            replaced = state.has_replaced
            now, family = monotonic(), self.driver.family
            return meaning(error, plan.entry, now, family, has_replaced=replaced, patient=patient)

        found, what = None, means()
        if what == "other":
            return error
        if what == "replace":
            state.has_replaced = True
            found = self.after_refusal(failure)
            what = means()
        else:
            self._report_refused(failure, reloads=False)
        if found is None and what == "throttled" and (token := self._after_pause(failure)):
            found = self._once_more(failure, token)
        if found is not None:
            return found
        if not self.driver.family.is_throttled(error):
            self._explain(failure)
        return error

    def after_refusal(self, failure: Failure) -> ConnectPlan | None:
        """Have a token that may be out of date replaced; see `PasswordProvider.after_refusal`."""
        entry, refused = failure.plan.entry, failure.password
        answer = self._cache.on_refused(entry, refused, age=failure.used_at - refused.signed_at)
        self._report_refused(failure, reloads=answer is not None and not answer.token)
        if answer is None:
            return None
        token = self._acquirer.acquire_after_refusal(entry, answer, failure.state.deadline)
        return None if token is None else self._once_more(failure, token)

    def _after_pause(self, failure: Failure) -> IssuedPassword | None:
        """A token to try when others have had their turn, if there is time for that."""
        entry, limiter, state = failure.plan.entry, failure.plan.limiter, failure.state
        assert limiter is not None
        certain, window = self.driver.family.is_throttled(failure.error), 0.0
        is_first = not certain and entry.accepted_at == NEVER
        if is_first and not self._refused_login(failure).is_hopeless:
            window = WINDOWS[self._config.throttle_retry]
        retry = state.pause(entry, limiter, monotonic(), certain=certain, window=window)
        if is_first and retry is None:
            return None  # nothing says that it was throttled
        rate, level = limiter.current_rate, logging.DEBUG
        text = "logins at %s seem to be throttled: %.0f new connections a second for now"
        if is_first:
            text = "a first login at %s is throttled, or not allowed; trying again for up to %g s"
        if retry and (retry.slowed or (is_first and state.throttled == 1)):
            level = logging.WARNING
        self._report(
            "throttled",
            failure.plan,
            failure.password,
            level,
            text,
            entry.endpoint,
            window if is_first else rate,
            rate=rate,
            pause=retry and retry.pause,
        )
        if retry is None:
            return None
        self._runtime.sleep(retry.pause)
        return self.acquire(entry, state.deadline)

    def _once_more(self, failure: Failure, token: IssuedPassword) -> ConnectPlan:
        plan, state = failure.plan, failure.state
        state.retried += 1
        text, attempt = "login at %s is tried again (attempt %d)", state.retried + 1
        endpoint = plan.entry.endpoint
        self._report(
            "retried", plan, token, logging.DEBUG, text, endpoint, attempt, attempt=attempt
        )
        return plan.having(token)

    def _explain(self, failure: Failure) -> None:
        now, token, command = self._clock(), failure.password, self._remedy()
        self.forget(failure.plan.entry, token)
        login = self._refused_login(failure)
        causes = explain(
            failure.error, login, family=self.driver.family, token=token, now=now, command=command
        )
        if causes:
            gist = f"the token was refused, most likely because {causes[0].text}; run: {command}"
            LOGIN_WARNINGS.warn(login.endpoint, causes[0].name, gist)

    def _refused_login(self, failure: Failure) -> RefusedLogin:
        return refused_login(failure, self._config, self._cache.credentials, self._clock())

    def _report_refused(self, failure: Failure, *, reloads: bool) -> None:
        endpoint = str(failure.plan.entry.endpoint)
        level, text, args = logging.DEBUG, "token for %s refused", [endpoint]
        if reloads:
            level, text = logging.WARNING, "token for %s refused; reloading %s"
            args.append(self._cache.what)
        name = type(failure.error).__name__
        self._report("refused", failure.plan, failure.password, level, text, *args, error=name)

    def _report(
        self,
        kind: Kind,
        plan: ConnectPlan,
        token: IssuedPassword,
        level: int,
        text: str,
        *args: Any,
        **more: Any,
    ) -> None:
        about = {"endpoint": plan.entry.endpoint, "cached": plan.entry.signer, "token": token}
        self.reporter.report(kind, self._clock(), level, text, *args, **about, **more)


def _dialled(cparams: Mapping[str, Any]) -> Any:
    return cparams.get("host")
