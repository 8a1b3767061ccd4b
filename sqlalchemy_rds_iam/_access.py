"""A database URL taken as the plugins take it, and passwords for it, without engine or driver."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from sqlalchemy import URL

from sqlalchemy_rds_iam._aws.ambient import ambient_region
from sqlalchemy_rds_iam._aws.sigv4 import Credentials
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._config.preconditions import refuse_what_cannot_work
from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam._config.urls import with_plugin, without_blanks, without_plugins
from sqlalchemy_rds_iam._connecting.provider import ConnectPlan, Failure, PasswordProvider
from sqlalchemy_rds_iam._connecting.runtime import Runtime, ThreadRuntime
from sqlalchemy_rds_iam._databases import known
from sqlalchemy_rds_iam._databases.drivers import Driver, Target
from sqlalchemy_rds_iam._databases.family import Family
from sqlalchemy_rds_iam._databases.given_urls import (
    arguments_of,
    drivername_of,
    plugin_of,
    read_url,
    row_of,
)
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint, HostName
from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam._ratelimit.retry_policy import RetryState
from sqlalchemy_rds_iam.errors import ConfigError


def in_threads(_config: PluginOptions) -> Runtime:
    """How a sync caller waits, for no longer than its deadline, whatever hangs."""
    return ThreadRuntime(inline=False)


class Access:
    """The way of one URL to its passwords. What blocks does so for the plugin's timeout at most.

    Making one waits for nothing. Where a CNAME or a secret leads is found out when it is asked for.

    Args:
        url: as for ``create_engine()``, with or without the plugin's name.
        options: the plugin's options that win over those in the URL, by their whole names.
        runtime: makes of the options how to wait.
        secrets: whether it may be the plugin ``rds_secret``.

    Attributes:
        family: the databases that the URL is for.
        driver: the row of the URL's driver; that of the family's first one if it has none of ours.
        engine_url: the URL for ``create_engine()``, with the plugin and the options.
        provider: where the passwords come from.

    Raises:
        ConfigError: the URL or an option cannot work.
    """

    def __init__(
        self,
        url: str | URL,
        options: Mapping[str, Any] | None = None,
        runtime: Callable[[PluginOptions], Runtime] = in_threads,
        *,
        secrets: bool = False,
    ) -> None:
        url = read_url(url)
        self.family: Family = known.family_of(url.get_backend_name())
        options = dict(options or {})
        kind = plugin_of(url.query, options)
        if kind is SecretOptions and not secrets:
            raise ConfigError(
                "the plugin is rds_secret: its connections log in with a password from Secrets "
                "Manager, and this is about tokens: expected plugin=rds_iam and no rds_secret_… "
                "option; rds-iam exec runs a program with such a password"
            )
        given = kind.given_in(url.query, options)
        self._config = config = kind.take(url.query, dict(options))
        refuse_what_cannot_work(url, options, config)
        if not config.enabled:
            raise ConfigError(
                f"{config.named('enabled')}=off: an engine of this URL logs in without a "
                f"{config.BRINGS}; leave the option out to have one"
            )
        self._url = without_blanks(without_plugins(url, [kind.PLUGIN]))
        self.engine_url = with_plugin(url, kind.PLUGIN, kind.as_query(given))
        self._drivername, example = drivername_of(url, self.family), self.family.example
        self.driver, signer = row_of(self._drivername), row_of(example)
        said = arguments_of(self._url, example)
        try:
            arguments_of(self._url, self._drivername)
        except ImportError:  # of a driver's constants, as the dialects of asyncmy and aiomysql do
            self._drivername, self.driver = example, signer
        self._url_words = {signer.user: "username", signer.database: "database"}
        self._url_words |= {"host": "host", "port": "port"}
        self._words = {key: said[key] for key in self._url_words if key in said}
        self._search: Any = None
        self.provider = _provider(config, signer, self._words, runtime(config))

    @cached_property
    def plan(self) -> ConnectPlan:
        """Where to, and what for, when this was asked for first.

        Raises:
            ConfigError: there is no user, host or region, or a secret contradicts the URL.
            RdsIamError: a CNAME leads to no endpoint, or a secret cannot be fetched.
        """
        return self._planned(self._deadline)

    @property
    def url(self) -> URL:
        """The URL without plugins and their options, and with what a secret fills in."""
        if isinstance(self._config, IamOptions):
            return self._url
        filled = self.plan.target.filled
        own = self._url.difference_update_query(filled)
        return own.set(**{self._url_words[name]: value for name, value in filled.items()})

    @property
    def cparams(self) -> dict[str, Any]:
        """What SQLAlchemy makes of that for `driver`."""
        return self.arguments(self._drivername)

    @property
    def endpoint(self) -> Endpoint:
        """What tokens are signed for, or where a password is for."""
        return self.plan.target.endpoint

    @property
    def host(self) -> HostName:
        """The parsed name of that."""
        return self.plan.target.host

    @property
    def dialled(self) -> str:
        """The name to connect to; where a CNAME was followed, the one that it leads to."""
        return self.host.host if self._config.resolve_cname else self.plan.target.dialled

    @property
    def config(self) -> PluginOptions:
        """The options, with the endpoint that a CNAME leads to."""
        is_followed = self.host.host != self.plan.target.dialled
        if not (self._config.resolve_cname and is_followed):
            return self._config
        return replace(self._config, host=self.host.host)

    def token(self) -> IssuedPassword:
        """A token to log in with as of now, for where the URL leads as of now.

        Raises:
            CredentialsError: there are no AWS credentials to sign with.
            WaitTimeout: they did not arrive in time.
            RdsIamError: a CNAME is to be followed, and leads to no endpoint.
        """
        deadline = self._deadline
        return self._password(self._planned(deadline), deadline)

    def password(self) -> IssuedPassword:
        """What to log in with where `plan` leads.

        Raises:
            CredentialsError: there are no AWS credentials, or the secret cannot be fetched.
            WaitTimeout: they did not arrive in time.
        """
        return self._password(self.plan, self._deadline)

    def replaced(self, refused: IssuedPassword) -> IssuedPassword | None:
        """What to go on with after a refusal: a token of reloaded credentials if need be.

        Of a secret it is another version's password, and `plan` is where that leads; None if there
        is no other.

        Raises:
            CredentialsError: there are no AWS credentials, or the secret cannot be fetched.
            WaitTimeout: they did not arrive in time.
        """
        error, used_at = RuntimeError("the login was refused"), self.provider.caches[0].clock()
        state = RetryState(time.monotonic(), self._deadline)
        state.search = self._search
        found = self.provider.after_refusal(
            Failure(error, self._words, self.plan, refused, used_at, state)
        )
        self._search = state.search
        if found is None:
            return self.token() if isinstance(self._config, IamOptions) else None
        self.plan = found
        return found.password

    def credentials(self) -> Credentials:
        """What tokens are signed with.

        Raises:
            CredentialsError: there are none.
            WaitTimeout: they did not arrive in time.
        """
        self.token()
        found: Credentials | None = self.provider.caches[0].credentials
        assert found is not None
        return found

    def arguments(self, drivername: str) -> dict[str, Any]:
        """What SQLAlchemy makes of the URL for this dialect and driver.

        Raises:
            ConfigError: there is a zero byte in the URL.
        """
        return arguments_of(self.url, drivername)

    def target(
        self, driver: Driver | None = None, arguments: Mapping[str, Any] | None = None
    ) -> Target:
        """What a driver has to be told to connect, verified TLS included.

        Args:
            driver: its row; by default that of the URL.
            arguments: what SQLAlchemy makes of the URL for it.

        Raises:
            ConfigError: there is no CA file to verify the server with, or the TLS asked for is
                too weak.
        """
        words, config = self.cparams if arguments is None else arguments, self.config
        find = driver or self.driver
        return find.target(words, config, lambda: ambient_region(config, needed=True))

    def _planned(self, deadline: float) -> ConnectPlan:
        known_ = self.provider.plans.get(self.provider.driver.key(self._words))
        return known_ or self.provider.plan(self._words, deadline)

    def _password(self, plan: ConnectPlan, deadline: float) -> IssuedPassword:
        return plan.password or self.provider.acquire(plan.entry, deadline)

    @property
    def _deadline(self) -> float:
        return time.monotonic() + self._config.timeout


def _provider(
    config: PluginOptions, signer: Driver, words: Mapping[str, Any], runtime: Runtime
) -> PasswordProvider:
    # Where to, in words of a driver that needs no CA file for that, as passwords alone need none.
    config = replace(config, tls="require", ca=None)
    if isinstance(config, IamOptions):
        # Only now: the command is to start, and say so, where another package has replaced it.
        from sqlalchemy_rds_iam.plugin import token_provider

        unlimited = replace(config, connect_rate=0)
        return token_provider(unlimited, signer, words, runtime, lambda: "rds-iam doctor")
    from sqlalchemy_rds_iam.secret_plugin import secret_provider  # loaded only where there is one

    assert isinstance(config, SecretOptions)
    return secret_provider(config, signer, words, runtime)
