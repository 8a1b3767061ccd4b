"""Connecting with passwords of a secret: what it fills in, and the way through a rotation."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam._connecting.listener import Connector, ConnectPlan
from sqlalchemy_rds_iam._connecting.login_errors import is_refusal
from sqlalchemy_rds_iam._connecting.reporting import EngineCounters
from sqlalchemy_rds_iam._connecting.runtime import Runtime
from sqlalchemy_rds_iam._databases.drivers import Driver, Target
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam._endpoints.user_names import Lengths
from sqlalchemy_rds_iam._passwords.cache import PasswordCache
from sqlalchemy_rds_iam._passwords.expiry import Cached
from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam._ratelimit.retry_policy import RetryState
from sqlalchemy_rds_iam._secretsmanager.rotation import Search, explain, explain_unsent
from sqlalchemy_rds_iam._secretsmanager.secret import Secret, SecretPassword, agree
from sqlalchemy_rds_iam._secretsmanager.secret_errors import contradiction
from sqlalchemy_rds_iam.errors import ConfigError, RdsIamError

# The one has the form of a proxy, for whose certificates there always are authorities. The other
# is for what may not go with these.
_ANY_HOST = "any.proxy-any.us-east-1.rds.amazonaws.com"
_ANY_INSTANCE = "any.any.us-east-1.rds.amazonaws.com"


class SecretConnector:
    """The way of every physical connect of one engine with the plugin ``rds_secret``.

    Args:
        config: the options.
        driver: of the engine.
        versions: the staging labels of the versions to try, best first, and their passwords.
        waits: how the engine waits.

    Attributes:
        parts: what it connects through, one for each version, best first.
        reporter: what happens is reported there.
    """

    def __init__(
        self,
        config: SecretOptions,
        driver: Driver,
        versions: Sequence[tuple[str, PasswordCache]],
        runtime: Runtime,
    ) -> None:
        self._config = config
        self._driver = driver
        self._runtime = runtime
        self.listener = self._do_connect
        self.reporter = EngineCounters(config)
        self._lengths = Lengths()
        self.parts = tuple(
            _Version(
                config, driver, tokens, runtime, self.reporter, stage=stage, listener=self.listener
            )
            for stage, tokens in versions
        )
        self._current, *self._others = self.parts

    def validate(self, cparams: dict[str, Any]) -> None:
        """Do what each connect is going to do before the driver is called, but send nothing.

        Raises:
            ConfigError: the connect arguments cannot work, or are not safe.
        """
        self._lengths.check(cparams.get("user"))
        levels = self._config.tls, cparams.get("sslmode"), cparams.get("ssl")
        host = _ANY_INSTANCE if "verify-ca" in levels else _ANY_HOST
        stand_ins = {"host": host, "user": "?"}
        self._driver.target(stand_ins | cparams, self._config, lambda: None)

    def _do_connect(
        self,
        dialect: Dialect,
        record: ConnectionPoolEntry | None,
        cargs: list[Any],
        cparams: dict[str, Any],
    ) -> DBAPIConnection:
        deadline = time.monotonic() + self._config.timeout
        search, endpoint = Search(), None
        while True:
            for version, token in self._candidates(search, deadline):
                if endpoint is not None:
                    self._report_retried(version, token, endpoint, search.refusals + 1)
                known = token.accepted
                filled = self._filled(cparams, token)
                try:
                    connection = version.listener_alone(dialect, record, list(cargs), filled)
                except _Refused as refused:
                    self._report_refused(version, refused, first=endpoint is None)
                    endpoint = refused.endpoint
                    search.refuse(_secret_of(refused.token), refused.error)
                    continue
                if search.first is not None or not known:
                    for each in (self._current, *self._others):
                        each.reset_backoff()
                return connection
            pause = search.next_round(deadline - time.monotonic())
            if pause is None:
                break
            self._runtime.sleep(pause)
        error = search.first
        assert error is not None
        explain(error, search, self._config, self._current.now())
        try:
            raise error
        finally:
            # Its traceback has this frame, which must not have it in turn.
            del error, search

    def _candidates(
        self, search: Search, deadline: float
    ) -> Iterator[tuple[_Version, SecretPassword]]:
        """The versions to try, one after the other, as long as the server refuses them."""
        current = self._current
        token = current.token(deadline)
        if search.is_first_round:
            yield current, token
        token = current.instead_of(token, deadline)
        if search.is_new(_secret_of(token)):
            yield current, token
        for version in self._others:
            try:
                other = version.renewed(deadline)
            except RdsIamError as error:
                search.skip(version.stage, error)
                continue
            if search.is_new(_secret_of(other)):
                yield version, other

    def _filled(self, cparams: dict[str, Any], token: SecretPassword) -> dict[str, Any]:
        """The connect arguments, completed with what the secret says."""
        config, login = self._config, _secret_of(token).login
        found = {
            "user": login.user,
            "host": login.host,
            "port": login.port,
            self._driver.database: login.database,
        }
        filled = dict(cparams)
        for name, theirs in found.items():
            mine = cparams.get(name)
            if theirs is None:
                continue
            if not mine:
                filled[name] = theirs
            elif not agree(name, mine, theirs) and not self._is_tunnel(name):
                if config.conflict == "error":
                    raise ConfigError(contradiction(config, name, mine, theirs))
                filled[name] = mine if config.conflict == "url" else theirs
        if not filled.get("host"):
            raise ConfigError(
                f"neither the URL nor the secret {config.name!r} says where the database is: name "
                "the host in the URL, or in the secret as 'host'"
            )
        self._lengths.check(filled.get("user"))
        return filled

    def _report_refused(self, version: _Version, refused: _Refused, *, first: bool) -> None:
        secret = _secret_of(refused.token)
        text = "the password of secret %r was refused (version %s)"
        if first:
            text = "the password of secret %r was refused (version %s); looking for another one"
        self.reporter.report(
            "refused",
            version.now(),
            logging.WARNING if first else logging.DEBUG,
            text,
            self._config.name,
            secret.version_id,
            endpoint=refused.endpoint,
            cached=Cached(secret, secret.fetched_at),
            token=refused.token,
            error=type(refused.error).__name__,
        )

    def _report_retried(
        self, version: _Version, token: SecretPassword, last: Endpoint, attempt: int
    ) -> None:
        secret = _secret_of(token)
        self.reporter.report(
            "retried",
            version.now(),
            logging.DEBUG,
            "trying another password of secret %r (version %s, attempt %d)",
            self._config.name,
            secret.version_id,
            attempt,
            endpoint=last._replace(user=secret.login.user or last.user),
            cached=Cached(secret, secret.fetched_at),
            token=token,
            attempt=attempt,
        )

    def _is_tunnel(self, name: str) -> bool:
        return self._config.host is not None and name in {"host", "port"}


class _Refused(Exception):  # noqa: N818  (never leaves this file)
    """The server has refused a password."""

    def __init__(self, error: Exception, token: IssuedPassword, endpoint: Endpoint) -> None:
        super().__init__()
        self.error = error
        self.token = token
        self.endpoint = endpoint


class _Version(Connector):
    """Connecting with the password of one version of the secret."""

    def __init__(
        self,
        config: SecretOptions,
        driver: Driver,
        tokens: PasswordCache,
        runtime: Runtime,
        reporter: EngineCounters,
        *,
        stage: str,
        listener: Any,
    ) -> None:
        super().__init__(config, driver, tokens, runtime, reporter)
        self.stage = stage
        # What comes after it among SQLAlchemy's listeners is what comes after the engine's own.
        self.listener_alone, self.listener = self.listener, listener
        self._entry = tokens.entry(stage)

    def now(self) -> float:
        """Epoch seconds."""
        return self._clock()

    def token(self, deadline: float) -> SecretPassword:
        """The password in hand, or if there is none, one that is fetched."""
        token = self._entry.fresh(self._clock()) or self._acquirer.acquire(self._entry, deadline)
        assert isinstance(token, SecretPassword)
        return token

    def instead_of(self, refused: SecretPassword, deadline: float) -> SecretPassword:
        """What another connect has fetched meanwhile, or is fetched now; else the same again."""
        if self._cache.credentials is not refused.secret:
            return self.token(deadline)
        try:
            return self.renewed(deadline)
        except RdsIamError:
            return refused  # the refusal is what the caller has to see; the outage is in the log

    def renewed(self, deadline: float) -> SecretPassword:
        """The password of this version as of now, or of a moment ago."""
        token = self._acquirer.renew(self._entry, deadline)
        assert isinstance(token, SecretPassword)
        return token

    def reset_backoff(self) -> None:
        """Note that logins succeed again."""
        self._cache.reset_backoff()

    def _look_up(
        self,
        key: tuple[Any, ...],
        cparams: dict[str, Any],
        _deadline: float,
    ) -> ConnectPlan:
        target = self._driver.target(cparams, self._config, lambda: None)
        plan = self._plans[key] = ConnectPlan(target, self._entry, None)
        return plan

    def _settle_again(self, cparams: dict[str, Any], target: Target) -> ConnectPlan:  # noqa: ARG002
        key = cparams.get("host"), cparams.get("port"), cparams.get("user")
        return self._look_up(key, cparams, 0)

    def _failed(
        self,
        error: Exception,
        dialled: Any,  # noqa: ARG002
        attempts: RetryState,  # noqa: ARG002
        plan: ConnectPlan,
        *,
        token: IssuedPassword,
        used_at: float,  # noqa: ARG002
    ) -> IssuedPassword | None:
        if is_refusal(error):
            raise _Refused(error, token, plan.target.endpoint)
        explain_unsent(error, _secret_of(token))
        return None


def _secret_of(token: IssuedPassword) -> Secret:
    assert isinstance(token, SecretPassword)
    assert token.secret is not None
    return token.secret
