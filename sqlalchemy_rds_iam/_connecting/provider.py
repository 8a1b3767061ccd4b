"""Between the listener, which connects, and the providers, which know what to log in with.

`ConnectListener` is one class for tokens and for secrets. What differs between them is behind
`PasswordProvider`: what connecting takes, and what a failed connect means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from sqlalchemy_rds_iam._connecting.reporting import EngineCounters
from sqlalchemy_rds_iam._databases.drivers import Driver, Target
from sqlalchemy_rds_iam._passwords.cache import PasswordCache
from sqlalchemy_rds_iam._passwords.cache_entry import CacheEntry
from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam._ratelimit.limiter import RateLimiter
from sqlalchemy_rds_iam._ratelimit.retry_policy import RetryState


class ConnectPlan:
    """What connecting takes, for one host, port and user.

    Attributes:
        target: where to, and the connect arguments beside the password.
        entry: where the cache keeps the password.
        limiter: when a connect may begin; None for at any time.
        key: what the provider keeps the plan under.
        password: what to log in with; None for the one in `entry` when it is used. A secret says
            more than the password, so a plan is for one version of it.
    """

    # No dataclass, which would cost a millisecond of each start.
    __slots__ = ("entry", "key", "limiter", "password", "target")

    def __init__(
        self,
        target: Target,
        entry: CacheEntry,
        limiter: RateLimiter | None,
        key: tuple[Any, ...],
        password: IssuedPassword | None = None,
    ) -> None:
        self.target, self.entry, self.limiter = target, entry, limiter
        self.key, self.password = key, password

    def is_current(self, now: float) -> bool:
        """Whether the CA file, or the SSL context, is still what it was when this was made.

        Args:
            now: the monotonic time; see `Target.is_current`.
        """
        return self.target.is_current(now)

    def having(self, password: IssuedPassword | None) -> ConnectPlan:
        """The same, to log in with `password`."""
        return ConnectPlan(self.target, self.entry, self.limiter, self.key, password)

    def at(self, addresses: list[str]) -> ConnectPlan:
        """The same, now that the name to connect to has been looked up."""
        target = self.target.at(addresses)
        return ConnectPlan(target, self.entry, self.limiter, self.key, self.password)


class Failure(NamedTuple):
    """An attempt to connect that failed.

    Attributes:
        error: the driver's.
        cparams: what SQLAlchemy handed to the listener.
        plan: what was attempted.
        password: what it logged in with.
        used_at: when that was taken out of the cache, in epoch seconds.
        state: what this connect has tried so far.
    """

    error: BaseException
    cparams: Mapping[str, Any]
    plan: ConnectPlan
    password: IssuedPassword
    used_at: float
    state: RetryState


class PasswordProvider(Protocol):
    """Where the connects of one engine get their passwords. All deadlines are monotonic.

    Attributes:
        caches: of the passwords, the one that is tried first at the beginning.
        driver: of the engine.
        plans: those that hold for as long as the connect arguments are the same, by host, port and
            user; others by longer keys, which `plan` looks up.
        reporter: where what happens is reported.
    """

    @property
    def caches(self) -> tuple[PasswordCache, ...]: ...
    @property
    def driver(self) -> Driver: ...
    @property
    def plans(self) -> dict[tuple[Any, ...], ConnectPlan]: ...
    @property
    def reporter(self) -> EngineCounters: ...

    def validate(self, cparams: Mapping[str, Any]) -> None:
        """Do what each connect is going to do before the driver is called, but send nothing.

        Raises:
            ConfigError: the connect arguments cannot work, or are not safe.
        """

    def plan(self, cparams: Mapping[str, Any], deadline: float) -> ConnectPlan:
        """Work out what connecting with these arguments takes, where `plans` does not say it.

        Raises:
            RdsIamError: it cannot work, or could not be found out in time.
        """

    def acquire(self, entry: CacheEntry, deadline: float) -> IssuedPassword:
        """A password for `entry`, and all the waiting that takes.

        Raises:
            RdsIamError: there is none.
        """

    def on_failure(self, failure: Failure) -> ConnectPlan | BaseException:
        """Say what comes after a failed attempt, and wait until it may begin.

        Returns:
            The plan for another attempt, with its password; or the error that the caller gets, with
            a note on it if there is something to say.
        """

    def after_refusal(self, failure: Failure) -> ConnectPlan | None:
        """Find another password after one that the server has refused.

        Returns:
            The plan for another attempt, with it; None if there is none.
        """

    def on_accepted(self, password: IssuedPassword) -> None:
        """Note that the server has accepted a login with `password`.

        It is called for the first one with a password, and for one that came after a failure.
        """

    def forget(self, entry: CacheEntry, password: IssuedPassword) -> None:
        """Drop a password of `entry` that may have been refused."""
