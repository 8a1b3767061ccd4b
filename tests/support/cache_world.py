"""A cache with a source, an observer, and a clock of its own."""

from __future__ import annotations

from typing import Any

from sqlalchemy_rds_iam import Endpoint
from sqlalchemy_rds_iam._aws.sigv4 import Credentials, sign
from sqlalchemy_rds_iam._passwords.cache import PasswordCache
from sqlalchemy_rds_iam._passwords.expiry import Cached, Outage
from sqlalchemy_rds_iam._passwords.fetch import Fetch
from sqlalchemy_rds_iam._passwords.password import IssuedPassword

START = 1_000_000.0
ENDPOINT = Endpoint("db.abc.us-east-1.rds.amazonaws.com", 5432, "app", "us-east-1")


class World:
    """A source, an observer, and the clock of the test."""

    def __init__(self, **options: Any) -> None:
        self.now = START
        self.fault: Exception | None = None
        self.life = 3600.0
        self.resets = 0
        self.reloads: list[bool] = []
        self.seen: list[Any] = []
        self.observer_fault: Exception | None = None
        self.cache = PasswordCache(self, lambda: self.now, **options)
        self.entry = self.cache.entry(ENDPOINT)

    def fetch(self, *, reload: bool) -> Credentials:
        self.reloads.append(reload)
        if self.fault is not None:
            raise self.fault
        return Credentials("KEY", "secret", "session", self.now + self.life, "test")

    async def fetch_async(self) -> Credentials:
        return self.fetch(reload=False)

    def prepare_async(self, loop: Any, *, reload: bool) -> None: ...

    def reset(self) -> None:
        self.resets += 1

    def token(self, credentials: Credentials, endpoint: Any, now: float) -> IssuedPassword:
        return sign(credentials, endpoint, now)

    # As an observer.

    def subscribe(self, subscriber: Any) -> None: ...

    def fetched(self, now: float, cached: Cached, ended: Outage | None) -> None:
        self.seen.append(("fetched", now, cached, ended))
        if self.observer_fault is not None:
            raise self.observer_fault

    def failed(self, now: float, cached: Cached | None, outage: Outage) -> None:
        self.seen.append(("failed", now, cached, outage))
        if self.observer_fault is not None:
            raise self.observer_fault

    def look_up(self, *, ahead: bool = True, failure_ttl: float = 1.0) -> Any:
        """Look up without doing anything about it."""
        return self.cache.lookup(self.entry, ahead=ahead, failure_ttl=failure_ttl)

    def fetch_now(self) -> Fetch:
        """Look up, and run the fetch that this asks for."""
        fetch: Fetch = self.look_up().fetch
        fetch.run()
        return fetch

    def pause(self) -> float:
        """Have credentials fetched anew as soon as that is possible; the seconds that it took."""
        begun = self.now
        while not (found := self.cache.force_refresh(self.entry)).must_fetch:
            self.now += 0.25
        assert found.fetch is not None
        found.fetch.run()
        return self.now - begun
