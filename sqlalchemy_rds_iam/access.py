"""A database URL taken as the plugin takes it, and tokens for it, without an engine or a driver.

For what is no SQLAlchemy: a command line tool, a driver used by itself, a policy to be written.

    from sqlalchemy_rds_iam.access import Access

    access = Access("postgresql://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app")
    password = access.token().password
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from sqlalchemy_rds_iam._aws import credentials as aws
from sqlalchemy_rds_iam._aws.ambient import ambient_region, nearest_region
from sqlalchemy_rds_iam._aws.assume_role import AssumedRole
from sqlalchemy_rds_iam._aws.sigv4 import Credentials
from sqlalchemy_rds_iam._concurrency import call_with_timeout
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.preconditions import refuse_what_cannot_work
from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam._config.urls import plugin_names, without_blanks, without_plugins
from sqlalchemy_rds_iam._connecting.acquire import PasswordAcquirer
from sqlalchemy_rds_iam._connecting.reporting import Dispatcher, EngineCounters
from sqlalchemy_rds_iam._connecting.runtime import ThreadRuntime
from sqlalchemy_rds_iam._databases import known
from sqlalchemy_rds_iam._databases.drivers import Driver, Target, refuse_zero_bytes
from sqlalchemy_rds_iam._databases.family import Family
from sqlalchemy_rds_iam._endpoints.cname import CnameResolver, is_alias
from sqlalchemy_rds_iam._passwords.cache import PasswordCache
from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam.errors import ConfigError, RdsIamError, WaitTimeout

_EXAMPLES = " or ".join(
    f"{known.FAMILIES[each].example}://USER@HOST:PORT/DATABASE" for each in ("postgresql", "mysql")
)


class Access:
    """The way of one URL to its tokens. Whatever blocks does so for ``rds_iam_timeout`` at most.

    Args:
        url: as for ``create_engine()``, with or without the plugin's name.
        options: the plugin's options that win over those in the URL, by their whole names.

    Attributes:
        family: the databases that the URL is for.
        driver: the row of the URL's driver; that of the family's first one if it has none of ours.
        url: the URL without plugins and their options.
        engine_url: the URL for ``create_engine()``, with the plugin and the options.
        config: the options.
        cparams: what SQLAlchemy makes of the URL for `driver`.
        endpoint: what tokens are signed for.
        host: the parsed name of that.
        dialled: the name to connect to; where a CNAME was followed, the one that it leads to.

    Raises:
        ConfigError: the URL or an option cannot work.
        RdsIamError: a CNAME is to be followed, and leads to no endpoint.
    """

    def __init__(self, url: str | URL, options: Mapping[str, str] | None = None) -> None:
        said = {key: value for key, value in (options or {}).items() if value.strip()}
        given = _parsed(url).update_query_dict(said)
        self.family: Family = known.family_of(given.get_backend_name())
        plugins = plugin_names(given.query)
        if SecretOptions.PLUGIN in plugins and IamOptions.PLUGIN not in plugins:
            raise ConfigError(
                "the URL names the plugin rds_secret: its connections log in with a password from "
                "Secrets Manager, and this is about tokens"
            )
        config = IamOptions.take(given.query, {})
        refuse_what_cannot_work(given, {}, config)
        if not config.enabled:
            raise ConfigError(
                "rds_iam_enabled=off: an engine of this URL logs in without a token; leave the "
                "option out to have one"
            )
        self.url = without_blanks(without_plugins(given, [IamOptions.PLUGIN]))
        if IamOptions.PLUGIN not in plugins:
            given = given.update_query_pairs([("plugin", IamOptions.PLUGIN)], append=True)
        self.engine_url = given
        own, example = _drivername(given, self.family), self.family.example
        try:
            self.driver, self.cparams = _row(own), self.arguments(own)
        except ImportError:  # of a driver's constants, as the dialects of asyncmy and aiomysql do
            self.driver, self.cparams = _row(example), self.arguments(example)
        followed = config.resolve_cname and is_alias(self.cparams.get("host"))
        self.config = config = _followed(config, self.cparams["host"]) if followed else config
        # Where to, in words of a driver that needs no CA file for that: signing needs none.
        signer, said = _row(example), self.arguments(example)
        where = {key: said[key] for key in ("host", "port", signer.user) if key in said}
        target = _target(signer, where, replace(config, tls="require", ca=None))
        self.endpoint, self.host = target.endpoint, target.host
        self.dialled = target.host.host if followed else target.dialled
        role = AssumedRole.of(config, lambda: nearest_region(config, target.host))
        source = aws.AwsSource(config.profile, None, role)
        observer = Dispatcher(config)
        self._cache = PasswordCache(source, observer=observer)
        self._entry = self._cache.entry(self.endpoint)
        self._acquirer = PasswordAcquirer(
            config, self._cache, ThreadRuntime(inline=False), EngineCounters(config)
        )

    def token(self) -> IssuedPassword:
        """A token to log in with.

        Raises:
            CredentialsError: there are no AWS credentials to sign with.
            WaitTimeout: they did not arrive in time.
        """
        return self._acquirer.acquire(self._entry, self._deadline)

    def replaced(self, refused: IssuedPassword) -> IssuedPassword:
        """A token to go on with after one that was refused, of reloaded credentials if need be.

        Raises:
            CredentialsError: there are no AWS credentials to sign with.
            WaitTimeout: they did not arrive in time.
        """
        age = time.time() - refused.signed_at
        answer = self._cache.on_refused(self._entry, refused, age=age)
        found = answer and self._acquirer.acquire_after_refusal(self._entry, answer, self._deadline)
        return found or self.token()

    def credentials(self) -> Credentials:
        """What tokens are signed with.

        Raises:
            CredentialsError: there are none.
            WaitTimeout: they did not arrive in time.
        """
        self.token()
        found: Credentials | None = self._cache.credentials
        assert found is not None
        return found

    def arguments(self, drivername: str) -> dict[str, Any]:
        """What SQLAlchemy makes of the URL for this dialect and driver.

        Raises:
            ConfigError: there is a zero byte in the URL.
        """
        # The dialect alone: it needs no driver to be installed.
        dialect: Any = self.url.set(drivername=drivername).get_dialect()()
        found: dict[str, Any] = dialect.create_connect_args(self.url)[1]
        refuse_zero_bytes(found)
        return found

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
        words = self.cparams if arguments is None else arguments
        return _target(driver or self.driver, words, self.config)

    @property
    def _deadline(self) -> float:
        return time.monotonic() + self.config.timeout


def _parsed(url: str | URL) -> URL:
    try:
        found = make_url(url)
    except (ArgumentError, ValueError):
        # What it says may quote the URL, and a password with it.
        raise ConfigError(
            f"the URL cannot be read: expected {_EXAMPLES}, with special characters as percent "
            "codes, and in quotes in a shell"
        ) from None
    if found.get_backend_name() not in known.FAMILIES:
        begins = ", ".join(f"{each}://" for each in known.FAMILIES)
        raise ConfigError(
            f"the URL begins with {found.drivername}://: expected {begins}, or one of these with "
            f"a driver, as in {_EXAMPLES}"
        )
    return found


def _drivername(url: URL, family: Family) -> str:
    """Dialect and driver of the URL; those of the family where the driver is none of ours."""
    name = url.get_driver_name()
    return f"{url.get_backend_name()}+{name}" if name in known.DRIVERS else family.example


def _row(drivername: str) -> Driver:
    backend, _, name = drivername.partition("+")
    return known.driver(name, backend)


def _followed(config: IamOptions, host: str) -> IamOptions:
    """The options with the endpoint that a CNAME leads to."""
    names = CnameResolver()
    try:
        # Its own deadline may be exceeded by the pauses between its attempts.
        found = call_with_timeout(
            config.timeout + 1, lambda: names.look_up(host, config.timeout, config.failure_ttl)
        )
    except RdsIamError:
        raise
    except TimeoutError:
        raise WaitTimeout(f"DNS did not answer for {host!r} within {config.timeout:g} s") from None
    return replace(config, host=found)


def _target(driver: Driver, cparams: Mapping[str, Any], config: IamOptions) -> Target:
    return driver.target(cparams, config, lambda: ambient_region(config, needed=True))
