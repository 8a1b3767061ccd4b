"""Remember and renew: the tokens of one identity, and the credentials they are signed with.

Signing takes microseconds; what takes time and fails is fetching credentials. So there is only one
fetch under way per identity, whatever the number of endpoints, threads and event loops, and tokens
are signed on the spot from the credentials in hand. A secret's passwords come the same way; then it
is the secret that is fetched. What is in hand is

- FRESH: sign, no waiting;
- STALE: sign, and one caller has them renewed in the background;
- EXPIRED: all callers join the one fetch; nothing is signed with it any more, in whatever state
  a refusal or an outage is.

A token is re-signed in the last third of its life, so one that is handed out has minutes left.
Nothing here blocks, sleeps or starts a thread; that is what ``runtime`` is for.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam._fork import renew_in_child
from sqlalchemy_rds_iam._masking import first_line, harmless
from sqlalchemy_rds_iam._passwords.cache_entry import CacheEntry, CacheLookup
from sqlalchemy_rds_iam._passwords.expiry import (
    LONGEST_PAUSE,
    SHORTEST_PAUSE,
    Cached,
    Fetched,
    Outage,
    stale_at,
)
from sqlalchemy_rds_iam._passwords.fetch import Fetch, PasswordSource
from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam.errors import CredentialsError, RdsIamError, fresh_copy

CREDENTIALS = "AWS credentials"
"""What is fetched for tokens, in messages."""


class Observer(Protocol):
    """What reports the fetches of one identity. Called without a lock."""

    def subscribe(self, subscriber: Any) -> None:
        """Report to an engine, too, as long as it lives."""

    def fetched(self, now: float, cached: Cached, ended: Outage | None) -> None:
        """A fetch has succeeded, which has `ended` an outage."""

    def failed(self, now: float, cached: Cached | None, outage: Outage) -> None:
        """A fetch has failed, once more in `outage`."""


class PasswordCache:
    """The tokens of one AWS identity, for all of its endpoints. Thread-safe; never blocks.

    Args:
        source: fetches credentials and makes tokens of them.
        clock: epoch seconds. Wall clock, because a frozen process's monotonic clock stands still.
        what: what is fetched, in messages.
        free_reloads: how often it may be fetched anew after refusals before that is spaced out.
        longest_pause: how many seconds apart at the most, unless what was fetched names fewer.
        observer: told of every fetch that has ended.

    Attributes:
        observer: the same.
    """

    def __init__(
        self,
        source: PasswordSource,
        clock: Callable[[], float] = time.time,
        *,
        what: str = CREDENTIALS,
        free_reloads: int = 0,
        longest_pause: float = LONGEST_PAUSE,
        observer: Observer | None = None,
    ) -> None:
        self.source = source
        self.clock = clock
        self.what = what
        self.observer = observer
        # A thread may take it twice: the collector may end an abandoned fetch at any allocation.
        self._lock = threading.RLock()
        self._entries = weakref.WeakValueDictionary[Endpoint | str, CacheEntry]()
        self._cached: Cached | None = None
        self._fetch: Fetch | None = None
        self._outage: Outage | None = None
        self._free_reloads = self._reloads_left = free_reloads
        self._reload_pause = SHORTEST_PAUSE
        self._longest_pause = longest_pause
        renew_in_child(self)

    @property
    def credentials(self) -> Any:
        """What tokens are made of at the moment, as the source has fetched it; None before that."""
        return self._cached.fetched if self._cached else None

    @property
    def cached(self) -> Cached | None:
        """The same, and when it was fetched."""
        return self._cached

    @property
    def outage(self) -> Outage | None:
        """The fetches that have failed since the last one that did not."""
        return self._outage

    def entry(self, endpoint: Endpoint | str) -> CacheEntry:
        """The one place for this endpoint's token, shared by all engines that connect there.

        Args:
            endpoint: what is signed; or a name, where a password is the same for all endpoints.
        """
        with self._lock:
            entry = self._entries.get(endpoint)
            if entry is None:
                entry = self._entries[endpoint] = CacheEntry(endpoint)
            return entry

    def lookup(self, entry: CacheEntry, *, ahead: bool, failure_ttl: float) -> CacheLookup:
        """Find what a connect can do: use a token, join a fetch, or start one.

        Args:
            entry: of the endpoint to connect to.
            ahead: whether the caller would renew STALE credentials in the background.
            failure_ttl: seconds that a failed fetch stands for the next one.

        Raises:
            CredentialsError: a fetch failed less than `failure_ttl` ago.
        """
        with self._lock:
            # In here, or else a thread that had to wait takes what is young for from the future.
            now = self.clock()
            cached = self._cached
            answer = self._sign(entry, cached, now) if cached else CacheLookup(None)
            if cached is None or answer.token is None:
                self._check_outage(now, failure_ttl)
                return CacheLookup(None, *self._join(now, reload=False))
            outage = self._outage
            if not ahead or now < cached.stale_at or (outage and now < outage.retry_at):
                return answer
            fetch, must_fetch = self._join(now, reload=False)
            return answer._replace(fetch=fetch if must_fetch else None, must_fetch=must_fetch)

    def forget(self, entry: CacheEntry, token: IssuedPassword) -> None:
        """Drop a token that the server refused, unless another one has taken its place."""
        with self._lock:
            if entry.token is token:
                entry.token = None

    def on_refused(
        self, entry: CacheEntry, token: IssuedPassword, *, age: float
    ) -> CacheLookup | None:
        """Forget a refused token and say how to go on, or None if there is nothing to try.

        Worth another try is a token that was in the cache already, and one that was signed with
        credentials that may have been replaced since they were loaded. Reloading them is spaced
        out while refusals go on, so that a missing grant does not become a stream of AWS calls.

        Args:
            entry: of the endpoint where the token was used.
            token: the refused one.
            age: seconds since it was signed, when it was used.
        """
        self.forget(entry, token)
        with self._lock:
            now = self.clock()
            cached = self._cached
            if cached is None or not self._asked_lately(now):
                return CacheLookup(None, *self._reload(now))
            if token.accepted or age >= SHORTEST_PAUSE or now >= cached.dead_at:
                return self._sign(entry, cached, now)
            return None

    def force_refresh(self, entry: CacheEntry) -> CacheLookup:
        """Have what tokens are made of fetched anew, unless that was done or failed a moment ago.

        It is spaced out while refusals go on, as in `on_refused`.

        Raises:
            CredentialsError: it failed a moment ago.
        """
        with self._lock:
            now = self.clock()
            cached, outage = self._cached, self._outage
            if not self._asked_lately(now) or self._fetch is not None:
                return CacheLookup(None, *self._reload(now))
            if outage is not None:
                raise fresh_copy(outage.error)
            assert cached is not None
            return self._sign(entry, cached, now)

    def accept(self, token: IssuedPassword) -> None:
        """Note that a login with `token` has succeeded."""
        token.accepted = True
        self.reset_backoff()

    def reset_backoff(self) -> None:
        """Note that refusals have ended: what is refused next need not wait for its renewal."""
        with self._lock:
            self._reloads_left = self._free_reloads
            self._reload_pause = SHORTEST_PAUSE

    def complete(self, fetch: Fetch, fetched: Fetched) -> None:
        """End a fetch with what it has fetched."""
        cached = Cached(fetched, self.clock())
        with self._lock:
            if self._fetch is not fetch:
                return  # given up for lost; its successor speaks for both
            self._fetch = None
            self._cached = cached
            ended, self._outage = self._outage, None
        try:
            if self.observer is not None:
                self.observer.fetched(self.clock(), cached, ended)
        finally:
            fetch.future.set_result(None)

    def fail(self, fetch: Fetch, error: Exception) -> None:
        """End a fetch with a failure, and remember it."""
        if not isinstance(error, RdsIamError):
            cause = harmless(error)
            name, said = type(error).__name__, first_line(error)
            error = CredentialsError(f"fetching {self.what} failed: {name}: {said}")
            error.__cause__ = cause
        with self._lock:
            if self._fetch is not fetch:
                return
            self._fetch = None
            self._outage = outage = Outage(error, self.clock(), self._outage)
        try:
            if self.observer is not None:
                self.observer.failed(outage.failed_at, self._cached, outage)
        finally:
            fetch.future.set_exception(error)

    def abandon(self, fetch: Fetch) -> None:
        """End a fetch that was cancelled or interrupted: a waiting caller starts the next one."""
        with self._lock:
            if self._fetch is not fetch:
                return
            self._fetch = None
        fetch.future.set_result(None)

    def _sign(self, entry: CacheEntry, cached: Cached, now: float) -> CacheLookup:
        # The one place that signs. A caller that is told that there is nothing looks up again, and
        # leads or joins a fetch.
        if now >= cached.dead_at:
            return CacheLookup(None)
        token = entry.token
        if token and entry.signer is cached and token.signed_at <= now < stale_at(token):
            return CacheLookup(token)
        token = self.source.token(cached.fetched, entry.endpoint, now)
        token.fresh_until = min(stale_at(token), cached.stale_at)
        entry.token, entry.signer = token, cached
        return CacheLookup(token, minted=True)

    def _asked_lately(self, now: float) -> bool:
        """Whether a fetch ended, either way, less than a pause ago."""
        outage, cached = self._outage, self._cached
        asked_at = outage.failed_at if outage else cached.fetched_at if cached else None
        return asked_at is not None and abs(now - asked_at) < self._reload_pause

    def _reload(self, now: float) -> tuple[Fetch, bool]:
        fetch, must_fetch = self._join(now, reload=True)
        if must_fetch:
            self._reloads_left -= 1
            if self._reloads_left < 0:
                cached, longest = self._cached, self._longest_pause
                longest = min(longest, cached.longest_pause) if cached else longest
                self._reload_pause = min(self._reload_pause * 2, longest)
        return fetch, must_fetch

    def _join(self, now: float, *, reload: bool) -> tuple[Fetch, bool]:
        if self._fetch is not None and not self._fetch.is_lost(now):
            return self._fetch, False
        abandoned, self._fetch = self._fetch, Fetch(self.source, self, now, reload=reload)
        if abandoned is not None:
            self.source.reset()
            if not abandoned.future.done():
                abandoned.future.set_result(None)
        return self._fetch, True

    def _check_outage(self, now: float, failure_ttl: float) -> None:
        outage = self._outage
        if outage is not None and 0 <= now - outage.failed_at < failure_ttl:
            raise fresh_copy(outage.error)

    def after_fork(self) -> None:
        """Start afresh: another thread may have held the lock, or been fetching."""
        self._lock = threading.RLock()
        self._fetch = None
        for entry in self._entries.values():
            entry.after_fork()
        self.source.reset()
