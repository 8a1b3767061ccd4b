"""What an engine with one of the plugins has inside: the one view that tests have into it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from sqlalchemy_rds_iam._connecting.listener import ConnectListener
from sqlalchemy_rds_iam._connecting.provider import ConnectPlan
from sqlalchemy_rds_iam._databases.known import DRIVERS
from sqlalchemy_rds_iam._passwords.cache import PasswordCache


class Inside:
    """Our part of one engine.

    Attributes:
        listener: SQLAlchemy calls it.
        driver: what is particular about the DBAPI, the names of its arguments among it.
        provider: where its passwords come from.
        cache: of the passwords, and of what they are made of; `caches` of all versions of a secret.
    """

    def __init__(self, engine: Engine) -> None:
        listeners: Any = engine.dialect.dispatch.do_connect
        owners = [getattr(each, "__self__", None) for each in listeners]
        [self.listener] = [each for each in owners if isinstance(each, ConnectListener)]
        self.provider: Any = self.listener.provider
        self.driver = DRIVERS[engine.dialect.driver]
        self.caches: tuple[Any, ...] = self.provider.caches
        self.cache: Any = self.caches[0]

    @property
    def plans(self) -> list[ConnectPlan]:
        """What connecting takes, for all connect arguments so far."""
        return list(self.provider.plans.copy().values())

    @property
    def plan(self) -> Any:
        """The same where all were alike."""
        [plan] = self.plans
        return plan

    @property
    def limiter(self) -> Any:
        """What paces connecting to the one place that this engine has connected to."""
        return self.plan.limiter

    @property
    def entry(self) -> Any:
        """Where the cache keeps the password for that place."""
        return self.plan.entry

    @property
    def token(self) -> Any:
        """The password that is in there."""
        return self.entry.token

    @property
    def credentials(self) -> Any:
        """What passwords are made of at the moment."""
        return self.cache.credentials

    @property
    def source(self) -> Any:
        """What fetches that."""
        return self.cache.source

    @property
    def runtime(self) -> Any:
        """How the engine waits."""
        return self.listener._runtime

    @property
    def config(self) -> Any:
        """The plugin's options."""
        return self.listener._config

    @property
    def counts(self) -> Any:
        """How many events of each kind there were."""
        return self.provider.reporter.counts

    def set_clock(self, clock: Any) -> None:
        """Have it another time, for the engine and for its cache."""
        self.cache.clock = self.listener._clock = self.provider._clock = clock

    def age(self, seconds: float) -> None:
        """Have fetched so much longer ago."""
        self.cache._cached.fetched_at -= seconds

    def reload_at_once(self) -> None:
        """Have no pause between refusals and asking for other credentials."""
        self.cache._reload_pause = 0.0

    def forget(self) -> None:
        """Have nothing in hand, neither passwords nor what they are made of."""
        drop(self.cache)


def drop(cache: PasswordCache) -> None:
    """Leave nothing in a cache."""
    with cache._lock:
        cache._cached = None
        for entry in cache._entries.values():
            entry.token = None
