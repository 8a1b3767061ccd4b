"""SQLAlchemy calls us here: the ``CreateEnginePlugin``, which attaches the `ConnectListener`.

See "CreateEnginePlugin" in SQLAlchemy's documentation.
"""

from __future__ import annotations

import importlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import event
from sqlalchemy.engine import URL, CreateEnginePlugin, Engine

from sqlalchemy_rds_iam._aws import credentials as aws
from sqlalchemy_rds_iam._aws.ambient import nearest_region
from sqlalchemy_rds_iam._aws.assume_role import AssumedRole
from sqlalchemy_rds_iam._aws.identity_key import identity_key
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._config.preconditions import (
    DRIVERS_OWN,
    drivers_own,
    foreign_in,
    refuse_what_cannot_work,
    with_variable,
)
from sqlalchemy_rds_iam._config.urls import (
    blanks,
    with_plugin,
    without_blanks,
    without_plugin_options,
    without_plugins,
)
from sqlalchemy_rds_iam._connecting.iam import TokenProvider
from sqlalchemy_rds_iam._connecting.listener import ConnectListener
from sqlalchemy_rds_iam._connecting.login_errors import doctor_command, lift_note
from sqlalchemy_rds_iam._connecting.provider import PasswordProvider
from sqlalchemy_rds_iam._connecting.reporting import Dispatcher
from sqlalchemy_rds_iam._connecting.runtime import (
    GreenletRuntime,
    Runtime,
    ThreadRuntime,
    refuse_to_block,
)
from sqlalchemy_rds_iam._databases.arguments import refuse_unknown_arguments
from sqlalchemy_rds_iam._databases.drivers import Driver
from sqlalchemy_rds_iam._databases.known import driver, refuse_mismatch, require_module
from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam._failover.wanted import is_checked
from sqlalchemy_rds_iam._passwords.cache import PasswordCache
from sqlalchemy_rds_iam._registry import Registry
from sqlalchemy_rds_iam._requirements import install, missing
from sqlalchemy_rds_iam.errors import ConfigError

_identities: Registry[PasswordCache] = Registry()


logger = logging.getLogger("sqlalchemy_rds_iam")


class _Named(list[str]):
    """The keyword ``plugins=``, and which of our plugins have read their options already.

    SQLAlchemy makes a plugin each time that it is named, in the URL and by keyword, and gives one
    and the same dict of keywords to all; when they are made it drops this keyword from it. So the
    first of two can leave word here for the second, which has nothing left to do.
    """

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(names)
        self.made: set[str] = set()


class PasswordPlugin(CreateEnginePlugin, ABC):
    """What both plugins do: take their options, and attach the listener."""

    options: ClassVar[type[PluginOptions]]

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        super().__init__(url, kwargs)
        name, named = self.options.PLUGIN, kwargs.get("plugins")
        if not isinstance(named, _Named):
            named = kwargs["plugins"] = _Named(named or ())
        self._is_off = name in named.made
        if self._is_off:
            return
        named.made.add(name)
        self._is_async = bool(kwargs.get("_is_async"))
        given = self.options.given_in(url.query, kwargs)
        self._config = self.options.take(url.query, kwargs)
        self._is_off = not self._config.enabled
        if self._is_off:
            return
        refuse_what_cannot_work(url, kwargs, self._config)
        self._config = drivers_own(url.query, kwargs, self._config, given)
        for key in foreign_in(kwargs, self._config):  # all of them empty
            del kwargs[key]
        self._query = self.options.as_query(given)
        self._empty = self.options.empty_in(given)
        if kwargs.get("connect_args"):
            kwargs["connect_args"] = dict(kwargs["connect_args"])
            for argument in blanks(kwargs["connect_args"]):
                del kwargs["connect_args"][argument]
        self._connect_args: dict[str, Any] = kwargs.get("connect_args") or {}
        backend, _, name = url.drivername.partition("+")
        refuse_mismatch(name, backend)
        if kwargs.get("module") is None:
            require_module(name)

    def update_url(self, url: URL) -> URL:
        """Take our options out of the URL, whose query goes to the driver."""
        if not self._is_off:
            url = without_blanks(url)
            foreign = foreign_in(url.query, self._config)
            url = url.difference_update_query([*foreign, DRIVERS_OWN])
            # What the plugins before this one have taken out, and may put back as we do.
            self._foreign = self.url.query.keys() - url.query.keys()
        return url.set(query=without_plugin_options(url.query, self.options.PLUGIN))

    def engine_created(self, engine: Engine) -> None:
        """Attach the listener, after a dry run of what each connect is going to do.

        ``engine.url`` gets the plugin and its options back, now that they cannot reach the driver.
        """
        if self._is_off:
            return
        name, dialect = self.options.PLUGIN, engine.dialect
        url = without_plugins(engine.url.difference_update_query(self._foreign), [name])
        _, cparams = dialect.create_connect_args(url)
        cparams = {**cparams, **self._connect_args}
        row = driver(dialect.driver, dialect.name)
        if self.options.named(DRIVERS_OWN) not in self._query:
            self._config = with_variable(self._config, row.target_variable)
        row.usable(dialect.loaded_dbapi, cparams)
        runtime = runtime_for(self._config, is_async=dialect.is_async)
        self._drivername = f"{dialect.name}+{dialect.driver}"
        provider = self._provider(cparams, row, runtime)
        provider.validate(cparams)
        # What plugins before this one have put back into the URL is not among them, and neither is
        # what the dialect has made other arguments of.
        asked = {*self._connect_args, *(url.query.keys() & self.url.query.keys())} & cparams.keys()
        refuse_unknown_arguments(dialect, asked)
        if self._empty:
            logger.info("%s: empty, and so not given: %s", name, ", ".join(self._empty))
        if dialect.is_async and not self._is_async:
            # It may get an AsyncEngine around it yet, as `AsyncEngine(create_engine(…))`.
            event.listen(engine, "do_connect", refuse_to_block)
        failover, wanted = None, self._config.target_session_attrs
        if (rules := row.family.sessions) is not None and is_checked(wanted):
            # Most engines do without, and need not load it.
            from sqlalchemy_rds_iam._connecting.failover import Failover
            from sqlalchemy_rds_iam._connecting.session_guard import SessionGuard

            failover = Failover(self._config, provider, runtime, rules)
            SessionGuard(wanted, row, rules).attach(engine)
        listener = ConnectListener(self._config, provider, runtime, failover).listener
        event.listen(engine, "do_connect", listener)
        event.listen(engine, "handle_error", lift_note)
        engine.url = with_plugin(engine.url, name, self._query)

    @abstractmethod
    def _provider(self, cparams: dict[str, Any], row: Driver, runtime: Runtime) -> PasswordProvider:
        """Make what this engine's passwords come from."""


class RdsIamPlugin(PasswordPlugin):
    """``?plugin=rds_iam``: every new connection logs in with an IAM token, over verified TLS.

    Raises:
        ConfigError: by ``create_engine()``, for anything that could not work or is not safe.
    """

    options = IamOptions
    _config: IamOptions

    def _provider(self, cparams: dict[str, Any], row: Driver, runtime: Runtime) -> PasswordProvider:
        remedy = partial(doctor_command, self._config, self._drivername, row, cparams)
        return token_provider(self._config, row, cparams, runtime, remedy)


def token_provider(
    config: IamOptions,
    row: Driver,
    cparams: Mapping[str, Any],
    runtime: Runtime,
    remedy: Callable[[], str],
) -> TokenProvider:
    """Make what tokens come from, with the cache that all share who have the same identity.

    Args:
        config: the options.
        row: of the driver.
        cparams: the connect arguments.
        runtime: how to wait.
        remedy: returns the command that the error of a refused login names.
    """
    host = parse_host(config.host or str(cparams.get("host")))
    role = AssumedRole.of(config, lambda: nearest_region(config, host))
    tokens = shared_tokens(
        identity_key(config, role),
        lambda: PasswordCache(
            aws.AwsSource(config.profile, config.session, role),
            observer=Dispatcher(config),
        ),
    )
    return TokenProvider(config, row, tokens, runtime, remedy)


def shared_tokens(identity: Hashable, make: Callable[[], PasswordCache]) -> PasswordCache:
    """The tokens, or passwords, of one identity, for all engines of this process."""
    return _identities.shared(identity, make)


def runtime_for(config: PluginOptions, *, is_async: bool) -> Runtime:
    """How an engine waits, and who fetches for it."""
    on_loop = _fetches_on_loop(config, is_async=is_async)
    if not is_async:
        return ThreadRuntime(inline=config.refresh == "lazy")
    try:
        importlib.import_module("greenlet")
    except ImportError:
        raise ConfigError(
            f"async engines need the greenlet package: {install('greenlet')}"
        ) from None
    return GreenletRuntime(on_loop=on_loop)


def _fetches_on_loop(config: PluginOptions, *, is_async: bool) -> bool:
    """Whether aiobotocore fetches, on the event loop, as an option or a session says.

    It holds the loop up no less than a thread does, and importing it doubles a cold start; so that
    it is installed, for another purpose perhaps, is no reason to use it.
    """
    wanted = config.credentials
    if config.session is not None:
        found = "aiobotocore" if aws.is_async_session(config.session) else "botocore"
        if wanted not in {"auto", found}:
            raise ConfigError(
                f"{config.named('credentials')}={wanted} cannot use this {found} session"
            )
        wanted = found
    if wanted != "aiobotocore":
        return False
    if not is_async:
        raise ConfigError(
            "aiobotocore serves async engines only; this one is sync: leave out "
            f"{config.named('credentials')}, or hand in a botocore or boto3 session"
        )
    if missing("aiobotocore"):
        raise ConfigError(
            f"{config.named('credentials')}=aiobotocore: it is not installed; "
            f"{install('aiobotocore')}"
        )
    return True


if not TYPE_CHECKING:  # or any name would be right

    def __getattr__(name: str) -> Any:
        """SQLAlchemy asks for the plugin of another package whose file this one has replaced."""
        if name.startswith("_"):  # such as __path__, for which each import asks
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from sqlalchemy_rds_iam._owners import no_attribute  # only where something is wrong

        raise no_attribute(__name__, name)
