"""SQLAlchemy calls us here: the ``CreateEnginePlugin``, which attaches the `Connector`'s listener.

See "CreateEnginePlugin" in SQLAlchemy's documentation.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import weakref
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any, ClassVar, TypeVar

from sqlalchemy import event
from sqlalchemy.engine import URL, CreateEnginePlugin, Dialect, Engine

from sqlalchemy_rds_iam import credentials as aws
from sqlalchemy_rds_iam.config import Config, Options, refuse_what_cannot_work
from sqlalchemy_rds_iam.drivers import driver
from sqlalchemy_rds_iam.endpoint import parse_host
from sqlalchemy_rds_iam.errors import ConfigError
from sqlalchemy_rds_iam.events import Origin
from sqlalchemy_rds_iam.iam_connector import IamConnector
from sqlalchemy_rds_iam.refusal import doctor_command, lift_note
from sqlalchemy_rds_iam.roles import Role
from sqlalchemy_rds_iam.rotation import ROUNDS
from sqlalchemy_rds_iam.secret_config import AWSCURRENT, AWSPENDING, AWSPREVIOUS, SecretConfig
from sqlalchemy_rds_iam.secret_connector import SecretConnector
from sqlalchemy_rds_iam.secret_source import SecretSource
from sqlalchemy_rds_iam.secrets_client import SecretsClient
from sqlalchemy_rds_iam.tokens import IdentityTokens
from sqlalchemy_rds_iam.waits import GreenletWaits, ThreadWaits, Waits

T = TypeVar("T")

_identities: weakref.WeakValueDictionary[Hashable, IdentityTokens] = weakref.WeakValueDictionary()
_clients: weakref.WeakValueDictionary[Hashable, SecretsClient] = weakref.WeakValueDictionary()


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
        role = Role.of(config, aws.nearest_region(config, host))
        waits = _waits(config, is_async=dialect.is_async)
        tokens = _shared(
            _identities,
            aws.identity(config, role),
            lambda: IdentityTokens(
                aws.AwsSource(config.profile, config.session, role),
                origin=Origin(config.PLUGIN, config.role_arn),
            ),
        )
        remedy = partial(doctor_command, config, dialect.driver, cparams)
        return IamConnector(config, driver(dialect.driver), tokens, waits, remedy)


class RdsSecretPlugin(PasswordPlugin):
    """``?plugin=rds_secret``: every new connection logs in with a password of Secrets Manager.

    Raises:
        ConfigError: by ``create_engine()``, for anything that could not work or is not safe.
    """

    options = SecretConfig
    _config: SecretConfig

    def _connector(self, cparams: dict[str, Any], dialect: Dialect) -> SecretConnector:
        config = self._config
        waits = _waits(config, is_async=dialect.is_async)
        region = self._region(cparams)
        role = Role.of(config, aws.ambient_region(config) or region)
        place = aws.identity(config, role), region, config.endpoint_url
        client = _shared(_clients, place, lambda: _client(config, role, region))
        sets_user = not (config.conflict == "url" and cparams.get("user"))
        reading = config.username_key, config.password_key, sets_user
        shared = ("secret", place, config.name, reading, config.ttl, config.resurrect_ttl)

        def version(stage: str | None) -> tuple[str, IdentityTokens]:
            name = stage or f"version {config.version_id}"

            def make() -> IdentityTokens:
                source = SecretSource(config, region, client, stage=stage, sets_user=sets_user)
                what = f"secret {config.name!r} ({name})"
                # That there is no other version is how it should be.
                level = logging.WARNING if stage == config.stage else logging.DEBUG
                origin = Origin(config.PLUGIN, config.role_arn)
                return IdentityTokens(
                    source, what=what, level=level, patience=ROUNDS, origin=origin
                )

            return name, _shared(_identities, (*shared, name), make)

        stages = [config.stage]
        if config.stage == AWSCURRENT:
            stages += [AWSPENDING, AWSPREVIOUS]
        return SecretConnector(config, driver(dialect.driver), list(map(version, stages)), waits)

    def _region(self, cparams: Mapping[str, Any]) -> str:
        config = self._config
        found = config.region or (config.id and config.id.region) or aws.ambient_region(config)
        found = found or parse_host(str(cparams.get("host"))).region
        if not found:
            raise ConfigError(
                f"no region for the secret {config.name!r}: set rds_secret_region, AWS_REGION, or "
                "give its whole ARN as rds_secret_id"
            )
        return found


def _client(config: SecretConfig, role: Role | None, region: str) -> SecretsClient:
    source = aws.AwsSource(config.profile, config.session, role, SecretConfig)
    profile = config.profile or aws.profile_of(config.session)
    return SecretsClient(source, profile, region, config.endpoint_url)


def _shared(
    registry: weakref.WeakValueDictionary[Hashable, T], key: Hashable, make: Callable[[], T]
) -> T:
    """What engines with the same key share, as long as there is one."""
    found = registry.get(key)
    if found is None:
        found = registry.setdefault(key, make())
    return found


def _waits(config: Options, *, is_async: bool) -> Waits:
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
