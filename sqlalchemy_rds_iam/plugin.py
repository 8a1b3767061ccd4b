"""SQLAlchemy calls us here: the ``CreateEnginePlugin``, which attaches the `Connector`'s listener.

See "CreateEnginePlugin" in SQLAlchemy's documentation.
"""

from __future__ import annotations

import importlib
import importlib.util
import weakref
from collections.abc import Hashable, Mapping
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import URL, CreateEnginePlugin, Engine

from sqlalchemy_rds_iam import credentials as aws
from sqlalchemy_rds_iam.config import Config, option_names, refuse_what_cannot_work
from sqlalchemy_rds_iam.connector import Connector
from sqlalchemy_rds_iam.drivers import driver
from sqlalchemy_rds_iam.endpoint import parse_host
from sqlalchemy_rds_iam.errors import ConfigError
from sqlalchemy_rds_iam.refusal import lift_note
from sqlalchemy_rds_iam.roles import Role
from sqlalchemy_rds_iam.tokens import IdentityTokens
from sqlalchemy_rds_iam.waits import GreenletWaits, ThreadWaits, Waits

_identities: weakref.WeakValueDictionary[Hashable, IdentityTokens] = weakref.WeakValueDictionary()


class RdsIamPlugin(CreateEnginePlugin):
    """``?plugin=rds_iam``: every new connection logs in with an IAM token, over verified TLS.

    Raises:
        ConfigError: by ``create_engine()``, for anything that could not work or is not safe.
    """

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        super().__init__(url, kwargs)
        self._config = Config.take(url.query, kwargs)
        self._connect_args: dict[str, Any] = dict(kwargs.get("connect_args") or {})
        if self._config.enabled:
            refuse_what_cannot_work(url, kwargs)

    def update_url(self, url: URL) -> URL:
        """Take our options out of the URL, whose query goes to the driver."""
        return url.difference_update_query(option_names(url.query))

    def engine_created(self, engine: Engine) -> None:
        """Attach the listener, after a dry run of what each connect is going to do."""
        if not self._config.enabled:
            return
        config, dialect = self._config, engine.dialect
        _, cparams = dialect.create_connect_args(engine.url)
        cparams = {**cparams, **self._connect_args}
        role = Role.of(config, _home(config, cparams))
        tokens, waits = _means(config, role, is_async=dialect.is_async)
        connector = Connector(config, driver(dialect.driver), tokens, waits)
        connector.rehearse(cparams)
        event.listen(engine, "do_connect", connector.listener)
        event.listen(engine, "handle_error", lift_note)


def _home(config: Config, cparams: Mapping[str, Any]) -> str | None:
    """The region whose STS is nearest: where we run, else where the database does."""
    host = str(cparams.get("host"))
    return aws.ambient_region(config) or config.region or parse_host(config.host or host).region


def _means(config: Config, role: Role | None, *, is_async: bool) -> tuple[IdentityTokens, Waits]:
    """The tokens this engine shares with others of the same identity, and how it waits."""
    through_aiobotocore = _fetches_through_aiobotocore(config, is_async=is_async)
    identity = aws.identity(config, role)
    tokens = _identities.get(identity)
    if tokens is None:
        tokens = IdentityTokens(aws.AwsSource(config.profile, config.session, role))
        tokens = _identities.setdefault(identity, tokens)
    if not is_async:
        return tokens, ThreadWaits(inline=config.refresh == "lazy")
    try:
        importlib.import_module("greenlet")
    except ImportError:
        raise ConfigError(
            "async engines need the greenlet package: pip install 'sqlalchemy[asyncio]'"
        ) from None
    return tokens, GreenletWaits(on_loop=through_aiobotocore)


def _fetches_through_aiobotocore(config: Config, *, is_async: bool) -> bool:
    wanted = config.credentials
    if config.session is not None:
        found = "aiobotocore" if aws.is_async_session(config.session) else "botocore"
        if wanted not in {"auto", found}:
            raise ConfigError(f"rds_iam_credentials={wanted} cannot use this {found} session")
        wanted = found
        if found == "botocore":
            return False
    installed = importlib.util.find_spec("aiobotocore") is not None
    if wanted == "aiobotocore" and not is_async:
        raise ConfigError(
            "aiobotocore serves async engines only; this one is sync: leave out "
            "rds_iam_credentials, or hand in a botocore or boto3 session"
        )
    if wanted == "aiobotocore" and not installed:
        raise ConfigError(
            "rds_iam_credentials=aiobotocore: it is not installed; "
            "pip install 'sqlalchemy-rds-iam[aiobotocore]'"
        )
    return is_async and installed and wanted != "botocore"
