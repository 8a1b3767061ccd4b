"""The plugin ``rds_secret``, apart from `plugin`: who logs in by token need not load it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from sqlalchemy_rds_iam._aws import credentials as aws
from sqlalchemy_rds_iam._aws.ambient import ambient_region
from sqlalchemy_rds_iam._aws.assume_role import AssumedRole
from sqlalchemy_rds_iam._aws.identity_key import identity_key
from sqlalchemy_rds_iam._config.secret_options import (
    AWSCURRENT,
    AWSPENDING,
    AWSPREVIOUS,
    SecretOptions,
)
from sqlalchemy_rds_iam._connecting.provider import PasswordProvider
from sqlalchemy_rds_iam._connecting.reporting import Dispatcher
from sqlalchemy_rds_iam._connecting.runtime import Runtime
from sqlalchemy_rds_iam._connecting.secret import SecretProvider
from sqlalchemy_rds_iam._databases.drivers import Driver
from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam._passwords.cache import PasswordCache
from sqlalchemy_rds_iam._passwords.expiry import CHEAP_PAUSE
from sqlalchemy_rds_iam._registry import Registry
from sqlalchemy_rds_iam._secretsmanager.client import SecretsClient
from sqlalchemy_rds_iam._secretsmanager.rotation import ROUNDS
from sqlalchemy_rds_iam._secretsmanager.source import SecretSource
from sqlalchemy_rds_iam.errors import ConfigError
from sqlalchemy_rds_iam.plugin import PasswordPlugin, shared_tokens

_clients: Registry[SecretsClient] = Registry()


class RdsSecretPlugin(PasswordPlugin):
    """``?plugin=rds_secret``: every new connection logs in with a password of Secrets Manager.

    Raises:
        ConfigError: by ``create_engine()``, for anything that could not work or is not safe.
    """

    options = SecretOptions
    _config: SecretOptions

    def _provider(self, cparams: dict[str, Any], row: Driver, runtime: Runtime) -> PasswordProvider:
        return secret_provider(self._config, row, cparams, runtime)


def secret_provider(
    config: SecretOptions, row: Driver, cparams: Mapping[str, Any], runtime: Runtime
) -> SecretProvider:
    """Make what a secret's passwords come from, with the caches that all share who read it so.

    Args:
        config: the options.
        row: of the driver.
        cparams: the connect arguments.
        runtime: how to wait.

    Raises:
        ConfigError: no region is known.
    """
    region = _region(config, cparams)
    role = AssumedRole.of(config, lambda: ambient_region(config) or region)
    place = identity_key(config, role), region, config.endpoint_url
    client = _clients.shared(place, lambda: _client(config, role, region))
    reading = config.username_key, config.password_key
    reader = ("secret", place, config.name, reading, config.ttl, config.resurrect_ttl)

    def version(stage: str | None) -> tuple[str, PasswordCache]:
        name = stage or f"version {config.version_id}"

        def make() -> PasswordCache:
            source = SecretSource(config, region, client, stage=stage)
            what = f"secret {config.name!r} ({name})"
            # That there is no other version is how it should be.
            level = logging.WARNING if stage == config.stage else logging.DEBUG
            observer = Dispatcher(config, what, level)
            return PasswordCache(
                source,
                what=what,
                free_reloads=ROUNDS,
                longest_pause=CHEAP_PAUSE,
                observer=observer,
            )

        return name, shared_tokens((*reader, name), make)

    stages = [config.stage]
    if config.stage == AWSCURRENT:
        stages += [AWSPENDING, AWSPREVIOUS]
    return SecretProvider(config, row, list(map(version, stages)), runtime)


def _region(config: SecretOptions, cparams: Mapping[str, Any]) -> str:
    host = parse_host(str(cparams.get("host"))).region
    found = config.region or (config.id and config.id.region)
    found = found or ambient_region(config, needed=host is None) or host
    if not found:
        raise ConfigError(
            f"no region for the secret {config.name!r}: set rds_secret_region, AWS_REGION, or "
            "give its whole ARN as rds_secret_id"
        )
    return found


def _client(config: SecretOptions, role: AssumedRole | None, region: str) -> SecretsClient:
    source = aws.AwsSource(config.profile, config.session, role, SecretOptions)
    profile = config.profile or aws.profile_of(config.session)
    return SecretsClient(source, profile, region, config.endpoint_url)
