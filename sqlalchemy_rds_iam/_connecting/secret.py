"""Where a secret's passwords for connects come from: what it fills in, and the way to another.

A secret may say where to connect and as which user, so what connecting takes is settled once for
each version and not once for the engine.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam._connecting.acquire import PasswordAcquirer
from sqlalchemy_rds_iam._connecting.aliases import Aliases
from sqlalchemy_rds_iam._connecting.provider import ConnectPlan, Failure
from sqlalchemy_rds_iam._connecting.reporting import EngineCounters
from sqlalchemy_rds_iam._connecting.runtime import Runtime
from sqlalchemy_rds_iam._databases.drivers import Driver
from sqlalchemy_rds_iam._databases.known import family_in
from sqlalchemy_rds_iam._databases.user_names import Lengths
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam._masking import on_one_line
from sqlalchemy_rds_iam._passwords.cache import PasswordCache
from sqlalchemy_rds_iam._passwords.cache_entry import CacheEntry
from sqlalchemy_rds_iam._passwords.expiry import Cached
from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam._secretsmanager.rotation import Search, explain, explain_unsent
from sqlalchemy_rds_iam._secretsmanager.secret import Secret, SecretPassword, agree
from sqlalchemy_rds_iam._secretsmanager.secret_errors import contradiction, other_engine
from sqlalchemy_rds_iam.errors import ConfigError, RdsIamError

# The one has the form of a proxy, for whose certificates there always are authorities. The other
# is for what may not go with these.
_ANY_HOST = "any.proxy-any.us-east-1.rds.amazonaws.com"
_ANY_INSTANCE = "any.any.us-east-1.rds.amazonaws.com"


class SecretProvider:
    """A secret's passwords for one engine with the plugin ``rds_secret``; see `PasswordProvider`.

    Args:
        config: the options.
        driver: of the engine.
        versions: the staging labels of the versions to try, best first, and their passwords.
        runtime: how the engine waits.
    """

    def __init__(
        self,
        config: SecretOptions,
        driver: Driver,
        versions: Sequence[tuple[str, PasswordCache]],
        runtime: Runtime,
    ) -> None:
        self.caches = tuple(cache for _, cache in versions)
        self.driver = driver
        self.plans: dict[tuple[Any, ...], ConnectPlan] = {}
        self.reporter = EngineCounters(config)
        self._config, self._runtime = config, runtime
        self._lengths = Lengths(driver.family)
        self._aliases = Aliases(config, runtime, self.caches[0].clock)
        self._versions = [
            _Version(stage, cache, PasswordAcquirer(config, cache, runtime, self.reporter))
            for stage, cache in versions
        ]

    def validate(self, cparams: Mapping[str, Any]) -> None:
        """Settle what does not depend on the secret; see `PasswordProvider.validate`."""
        self._lengths.check(cparams.get(self.driver.user))
        self._aliases.has(cparams.get("host"))
        levels = self._config.tls, cparams.get("sslmode"), cparams.get("ssl")
        host = _ANY_INSTANCE if "verify-ca" in levels else _ANY_HOST
        stand_ins = {"host": self._config.host or host, self.driver.user: "?"}
        self.driver.target(stand_ins | dict(cparams), self._config, lambda: None)

    def plan(self, cparams: Mapping[str, Any], deadline: float) -> ConnectPlan:
        """Settle what connecting takes with the current version's password."""
        current = self._versions[0]
        return self._plan(cparams, deadline, current, current.password(deadline))

    def acquire(self, entry: CacheEntry, deadline: float) -> IssuedPassword:
        """The password of a version, and all the waiting that takes."""
        return self._version_of(entry).password(deadline)

    def on_accepted(self, password: IssuedPassword) -> None:
        """Note that the server takes this password, so the next refusal is a new one."""
        password.accepted = True
        for cache in self.caches:
            cache.reset_backoff()

    def forget(self, entry: CacheEntry, password: IssuedPassword) -> None:
        """Drop a password that may have been refused."""
        self._version_of(entry).cache.forget(entry, password)

    def on_failure(self, failure: Failure) -> ConnectPlan | BaseException:
        """Look for another password, if this one was refused."""
        error, state = failure.error, failure.state
        self._aliases.doubt(failure.plan.target.dialled)
        if not self.driver.family.is_refusal(error):
            explain_unsent(error, _secret_of(failure.password))
            return error
        search: Search = state.search or Search()
        state.search = search
        if search.first is None and error.__traceback__:
            # Without the listener's own frame, which has the state, and so would have itself.
            search.first = error.with_traceback(error.__traceback__.tb_next)
        if (found := self.after_refusal(failure)) is not None:
            return found
        first = search.first or error
        explain(first, search, self._config, self._versions[0].cache.clock())
        return first

    def after_refusal(self, failure: Failure) -> ConnectPlan | None:
        """Look for another version of the secret; see `PasswordProvider.after_refusal`."""
        plan, state = failure.plan, failure.state
        search: Search = state.search or Search()
        state.search = search
        self._report_refused(self._version_of(plan.entry), failure, first=not search.refusals)
        search.refuse(_secret_of(failure.password))
        found = self._next(search, state.deadline)
        if found is None:
            return None
        version, password = found
        endpoint = plan.target.endpoint
        self._report_retried(version, password, endpoint, search.refusals + 1)
        return self._plan(failure.cparams, state.deadline, version, password)

    def _next(self, search: Search, deadline: float) -> tuple[_Version, SecretPassword] | None:
        """The next version to try, in this round or in one more; None if there is none."""
        while True:
            for version in search.untried(self._versions):
                try:
                    password = self._anew(version, search, deadline)
                except RdsIamError as error:
                    search.skip(version.stage, error)
                    continue
                if search.is_new(_secret_of(password)):
                    return version, password
            pause = search.next_round(deadline - time.monotonic())
            if pause is None:
                return None
            self._runtime.sleep(pause)

    def _anew(self, version: _Version, search: Search, deadline: float) -> SecretPassword:
        """The password of a version as of now, or of a moment ago.

        The current one may have been changed after it was fetched. If it cannot be fetched now, it
        is the one in hand: the refusal is what the caller has to see, the outage is in the log.

        Raises:
            RdsIamError: another version than the current one cannot be fetched.
        """
        if version is not self._versions[0]:
            return version.renewed(deadline)
        held = version.password(deadline)
        if search.is_first_round and _secret_of(held) is not search.all_refused[0]:
            return held  # another connect has fetched it meanwhile
        try:
            return version.renewed(deadline)
        except RdsIamError:
            return held

    def _plan(
        self,
        cparams: Mapping[str, Any],
        deadline: float,
        version: _Version,
        password: SecretPassword,
    ) -> ConnectPlan:
        filled = self._filled(cparams, password)

        def settle(*found: str) -> ConnectPlan:
            key = (*self.driver.key(cparams), *sorted(filled.items()), version.stage, *found)
            plan = self.plans.get(key)
            if plan is None or not plan.is_current(time.monotonic()):
                config = replace(self._config, host=found[0]) if found else self._config
                target = self.driver.target(cparams, config, lambda: None, filled)
                plan = self.plans[key] = ConnectPlan(target, version.entry, None, key)
            return plan

        host = filled.get("host") or cparams.get("host")
        return self._aliases.plan(host, deadline, settle).having(password)

    def _filled(self, cparams: Mapping[str, Any], password: SecretPassword) -> dict[str, Any]:
        """The connect arguments that the secret says, where the user does not say the same."""
        config, login = self._config, _secret_of(password).login
        mine, theirs = self.driver.family, family_in(login.engine)
        if theirs not in {None, mine.name} and config.conflict == "error":
            raise ConfigError(other_engine(config, mine.title, repr(login.engine)))
        found = {
            self.driver.user: login.user,
            "host": login.host,
            "port": login.port,
            self.driver.database: login.database,
        }
        filled = {}
        for name, said in found.items():
            given = cparams.get(name)
            if said is None:
                continue
            if not given:
                filled[name] = said
            elif not agree(name, given, said) and not self._is_tunnel(name):
                if config.conflict == "error":
                    raise ConfigError(contradiction(config, name, given, said))
                if config.conflict == "secret":
                    filled[name] = said
        if not (filled.get("host") or cparams.get("host")):
            raise ConfigError(
                f"neither the URL nor the secret {config.name!r} says where the database is: name "
                "the host in the URL, or in the secret as 'host'"
            )
        self._lengths.check(filled.get(self.driver.user, cparams.get(self.driver.user)))
        return filled

    def _report_refused(self, version: _Version, failure: Failure, *, first: bool) -> None:
        secret = _secret_of(failure.password)
        text = "the password of secret %r was refused (version %s)"
        if first:
            text = "the password of secret %r was refused (version %s); looking for another one"
        self.reporter.report(
            "refused",
            version.cache.clock(),
            logging.WARNING if first else logging.DEBUG,
            text,
            self._config.name,
            on_one_line(secret.version_id),
            endpoint=failure.plan.target.endpoint,
            cached=Cached(secret, secret.fetched_at),
            token=failure.password,
            error=type(failure.error).__name__,
        )

    def _report_retried(
        self, version: _Version, password: SecretPassword, last: Endpoint, attempt: int
    ) -> None:
        secret = _secret_of(password)
        self.reporter.report(
            "retried",
            version.cache.clock(),
            logging.DEBUG,
            "trying another password of secret %r (version %s, attempt %d)",
            self._config.name,
            on_one_line(secret.version_id),
            attempt,
            endpoint=last._replace(user=secret.login.user or last.user),
            cached=Cached(secret, secret.fetched_at),
            token=password,
            attempt=attempt,
        )

    def _is_tunnel(self, name: str) -> bool:
        return self._config.host is not None and name in {"host", "port"}

    def _version_of(self, entry: CacheEntry) -> _Version:
        return next(version for version in self._versions if version.entry is entry)


class _Version:
    """One version of the secret.

    Attributes:
        stage: its staging label.
        cache: its passwords.
        entry: where that keeps the one for this secret.
    """

    def __init__(self, stage: str, cache: PasswordCache, acquirer: PasswordAcquirer) -> None:
        self.stage = stage
        self.cache = cache
        self.entry = cache.entry(stage)
        self._acquirer = acquirer

    def password(self, deadline: float) -> SecretPassword:
        """The password in hand, or if there is none, one that is fetched."""
        found = self.entry.fresh(self.cache.clock()) or self._acquirer.acquire(self.entry, deadline)
        assert isinstance(found, SecretPassword)
        return found

    def renewed(self, deadline: float) -> SecretPassword:
        """The password as of now, or of a moment ago."""
        found = self._acquirer.renew(self.entry, deadline)
        assert isinstance(found, SecretPassword)
        return found


def _secret_of(password: IssuedPassword) -> Secret:
    assert isinstance(password, SecretPassword)
    assert password.secret is not None
    return password.secret
