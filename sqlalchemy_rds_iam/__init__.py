"""Password-less PostgreSQL, MySQL and MariaDB on Amazon RDS for SQLAlchemy.

Add ``?plugin=rds_iam`` to an engine URL, sync or async, and every new connection carries a fresh
IAM token over verified TLS; with ``?plugin=rds_secret``, the password of a secret in AWS Secrets
Manager. `engine_pair` makes two such engines, a writer and a reader, and
`RoutingSession` uses both. `rds_iam_stats` tells what an engine has done and has in hand. `token`
signs tokens for drivers without SQLAlchemy.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from sqlalchemy_rds_iam.errors import (
    ConfigError,
    CredentialsError,
    RdsIamError,
    RoutingError,
    SecretError,
    WaitTimeout,
    WrongServerError,
)

if TYPE_CHECKING:
    from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
    from sqlalchemy_rds_iam._passwords.identity import Identity
    from sqlalchemy_rds_iam._routing.pair import (
        AsyncEnginePair,
        EnginePair,
        async_engine_pair,
        engine_pair,
    )
    from sqlalchemy_rds_iam._routing.session import RoutingSession
    from sqlalchemy_rds_iam._routing.session_async import AsyncRoutingSession
    from sqlalchemy_rds_iam._token import async_token, token
    from sqlalchemy_rds_iam.events import Event
    from sqlalchemy_rds_iam.stats import EndpointStats, OutageStats, Stats, rds_iam_stats

__all__ = [
    "AsyncEnginePair",
    "AsyncRoutingSession",
    "ConfigError",
    "CredentialsError",
    "Endpoint",
    "EndpointStats",
    "EnginePair",
    "Event",
    "Identity",
    "OutageStats",
    "RdsIamError",
    "RoutingError",
    "RoutingSession",
    "SecretError",
    "Stats",
    "WaitTimeout",
    "WrongServerError",
    "__version__",
    "async_engine_pair",
    "async_token",
    "engine_pair",
    "rds_iam_stats",
    "token",
]

__version__ = "0.1.0"

# Found when asked for: SQLAlchemy's ORM takes long to import, and its asyncio needs greenlet.
_LAZY = {
    "AsyncEnginePair": "_routing.pair",
    "AsyncRoutingSession": "_routing.session_async",
    "Endpoint": "_endpoints.hostname",
    "EndpointStats": "stats",
    "EnginePair": "_routing.pair",
    "Event": "events",
    "Identity": "_passwords.identity",
    "OutageStats": "stats",
    "RoutingSession": "_routing.session",
    "Stats": "stats",
    "async_engine_pair": "_routing.pair",
    "async_token": "_token",
    "engine_pair": "_routing.pair",
    "rds_iam_stats": "stats",
    "token": "_token",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    # Python asks for a module that is not yet imported, and tools for what begins so.
    if name.startswith("_") or importlib.util.find_spec(f"{__name__}.{name}"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sqlalchemy_rds_iam._owners import no_attribute  # only where something is wrong

    raise no_attribute(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
