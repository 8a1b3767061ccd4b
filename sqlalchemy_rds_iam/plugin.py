"""SQLAlchemy calls us here: the ``CreateEnginePlugin``, which attaches the `Connector`'s listener.

See "CreateEnginePlugin" in SQLAlchemy's documentation.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, ClassVar

from sqlalchemy import event
from sqlalchemy.engine import URL, CreateEnginePlugin, Dialect, Engine

from sqlalchemy_rds_iam import credentials as aws
from sqlalchemy_rds_iam.ambient import nearest_region
from sqlalchemy_rds_iam.config import Config, Options, refuse_what_cannot_work
from sqlalchemy_rds_iam.drivers import driver
from sqlalchemy_rds_iam.endpoint import parse_host
from sqlalchemy_rds_iam.errors import ConfigError
from sqlalchemy_rds_iam.events import Origin
from sqlalchemy_rds_iam.iam_connector import IamConnector
from sqlalchemy_rds_iam.identity_key import identity_key
from sqlalchemy_rds_iam.refusal import doctor_command, lift_note
from sqlalchemy_rds_iam.registry import Registry
from sqlalchemy_rds_iam.roles import Role
from sqlalchemy_rds_iam.tokens import IdentityTokens
from sqlalchemy_rds_iam.waits import GreenletWaits, ThreadWaits, Waits

_identities: Registry[IdentityTokens] = Registry()


class PasswordPlugin(CreateEnginePlugin):
    """What both plugins do: take their options, and attach the listener."""

    options: ClassVar[type[Options]]

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        super().__init__(url, kwargs)
        self._config = self.options.take(url.query, kwargs)
        self._connect_args: dict[str, Any] = dict(kwargs.get("connect_args") or {})
        if self._config.enabled:
            refuse_what_cannot_work(url, kwargs, self._config)

    def update_url(self, url: URL) -> URL:
        """Take our options out of the URL, whose query goes to the driver."""
        return url.difference_update_query(self._config.names_in(url.query))

    def engine_created(self, engine: Engine) -> None:
        """Attach the listener, after a dry run of what each connect is going to do."""
        if not self._config.enabled:
            return
        dialect = engine.dialect
        _, cparams = dialect.create_connect_args(engine.url)
        cparams = {**cparams, **self._connect_args}
        connector = self._connector(cparams, dialect)
        connector.rehearse(cparams)
        event.listen(engine, "do_connect", connector.listener)
        event.listen(engine, "handle_error", lift_note)

    def _connector(self, cparams: dict[str, Any], dialect: Dialect) -> Any:
        raise NotImplementedError


class RdsIamPlugin(PasswordPlugin):
    """``?plugin=rds_iam``: every new connection logs in with an IAM token, over verified TLS.

    Raises:
        ConfigError: by ``create_engine()``, for anything that could not work or is not safe.
    """

    options = Config
    _config: Config

    def _connector(self, cparams: dict[str, Any], dialect: Dialect) -> IamConnector:
        config = self._config
        host = parse_host(config.host or str(cparams.get("host")))
        role = Role.of(config, lambda: nearest_region(config, host))
        waits = waits_for(config, is_async=dialect.is_async)
        tokens = shared_tokens(
            identity_key(config, role),
            lambda: IdentityTokens(
                aws.AwsSource(config.profile, config.session, role),
                origin=Origin(config.PLUGIN, config.role_arn),
            ),
        )
        remedy = partial(doctor_command, config, dialect.driver, cparams)
        return IamConnector(config, driver(dialect.driver), tokens, waits, remedy)


def shared_tokens(identity: Hashable, make: Callable[[], IdentityTokens]) -> IdentityTokens:
    """The tokens, or passwords, of one identity, for all engines of this process."""
    return _identities.shared(identity, make)


def waits_for(config: Options, *, is_async: bool) -> Waits:
    """How an engine waits, and who fetches for it."""
    through_aiobotocore = _fetches_through_aiobotocore(config, is_async=is_async)
    if not is_async:
        return ThreadWaits(inline=config.refresh == "lazy")
    try:
        importlib.import_module("greenlet")
    except ImportError:
        raise ConfigError(
            "async engines need the greenlet package: pip install 'sqlalchemy[asyncio]'"
        ) from None
    return GreenletWaits(on_loop=through_aiobotocore)


def _fetches_through_aiobotocore(config: Options, *, is_async: bool) -> bool:
    wanted = config.credentials
    if config.session is not None:
        found = "aiobotocore" if aws.is_async_session(config.session) else "botocore"
        if wanted not in {"auto", found}:
            raise ConfigError(
                f"{config.named('credentials')}={wanted} cannot use this {found} session"
            )
        wanted = found
        if found == "botocore":
            return False
    installed = importlib.util.find_spec("aiobotocore") is not None
    if wanted == "aiobotocore" and not is_async:
        raise ConfigError(
            "aiobotocore serves async engines only; this one is sync: leave out "
            f"{config.named('credentials')}, or hand in a botocore or boto3 session"
        )
    if wanted == "aiobotocore" and not installed:
        raise ConfigError(
            f"{config.named('credentials')}=aiobotocore: it is not installed; "
            "pip install 'sqlalchemy-rds-iam[aiobotocore]'"
        )
    return is_async and installed and wanted != "botocore"
