"""Getting hold of a token for a connect: the cache, the fetch, and the waiting, within a deadline.

The cache says what there is to do, the runtime how to wait for it, and this does it.
"""

from __future__ import annotations

import logging
import time

from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._connecting.lateness import Lateness
from sqlalchemy_rds_iam._connecting.reporting import EngineCounters
from sqlalchemy_rds_iam._connecting.runtime import Runtime
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam._passwords.cache import PasswordCache
from sqlalchemy_rds_iam._passwords.cache_entry import CacheEntry, CacheLookup
from sqlalchemy_rds_iam._passwords.fetch import Fetch
from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam.errors import RdsIamError, WaitTimeout

_TURN = 1.0
_GOES_ON = "fetching them goes on, so a later connect may find them"


class PasswordAcquirer:
    """Tokens for the connects of one engine. All deadlines are on the monotonic clock."""

    def __init__(
        self,
        config: PluginOptions,
        tokens: PasswordCache,
        runtime: Runtime,
        reporter: EngineCounters,
    ) -> None:
        self._config = config
        self._reporter = reporter
        self._ahead = config.refresh == "ahead"
        self._looks_ahead = self._ahead or config.renews_lazily
        self._cache = tokens
        self._runtime = runtime
        if tokens.observer is not None:
            tokens.observer.subscribe(reporter)

    def acquire(self, entry: CacheEntry, deadline: float) -> IssuedPassword:
        """A token, and all the waiting that takes."""
        looks_ahead = self._looks_ahead
        lateness = Lateness()
        while True:
            answer = self._cache.lookup(
                entry, ahead=looks_ahead, failure_ttl=self._config.memory_of_failure
            )
            self._report_minted(entry, answer)
            if answer.fetch is not None and answer.must_fetch:
                self._launch(answer.fetch)
            token, fetch = answer.token, answer.fetch
            if fetch is None or (token is not None and (self._ahead or not answer.must_fetch)):
                assert token is not None
                return token
            try:
                self._wait(fetch, deadline, lateness)
            except RdsIamError:
                if token is None:
                    raise
                # There still is one, unless it has ended during the wait.
                looks_ahead = False

    def _wait(self, fetch: Fetch, deadline: float, lateness: Lateness) -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0 and not fetch.future.done():
            late = lateness.told(self._config.timeout)
            raise WaitTimeout(
                f"no {self._cache.what} within {self._config.timeout:g} s "
                f"({self._config.named('timeout')}); {late or _GOES_ON}"
            )
        # By turns, to notice that the one who leads has been lost.
        seconds = min(max(remaining, 0), _TURN)
        with lateness.of(seconds):
            self._runtime.join(fetch, seconds)

    def renew(self, entry: CacheEntry, deadline: float) -> IssuedPassword:
        """A token of what is fetched now, or was a moment ago.

        Raises:
            RdsIamError: the fetch failed, or did not end in time.
        """
        answer = self._cache.force_refresh(entry)
        self._report_minted(entry, answer)
        self._await_end(answer, deadline)
        return answer.token or self.acquire(entry, deadline)

    def acquire_after_refusal(
        self, entry: CacheEntry, answer: CacheLookup, deadline: float
    ) -> IssuedPassword | None:
        """A token to try in place of a refused one, by what the cache says to that, if any."""
        self._report_minted(entry, answer)
        if answer.token is not None:
            return answer.token
        try:
            self._await_end(answer, deadline)
            return self.acquire(entry, deadline)
        except RdsIamError:
            return None  # the refusal is what the caller has to see; the outage is in the log

    def _await_end(self, answer: CacheLookup, deadline: float) -> None:
        """Wait until a fetch has ended, or has stalled."""
        fetch = answer.fetch
        if fetch is None:
            return
        if answer.must_fetch:
            self._launch(fetch)
        lateness = Lateness()
        while True:
            self._wait(fetch, deadline, lateness)
            if fetch.future.done() or fetch.is_lost(self._cache.clock()):
                return

    def _report_minted(self, entry: CacheEntry, answer: CacheLookup) -> None:
        if not answer.minted:
            return
        self._reporter.report(
            "minted",
            self._cache.clock(),
            logging.DEBUG,
            "new %s for %s",
            self._config.BRINGS,
            entry.endpoint if isinstance(entry.endpoint, Endpoint) else self._cache.what,
            endpoint=entry.endpoint,
            cached=entry.signer,
            token=answer.token,
        )

    def _launch(self, fetch: Fetch) -> None:
        try:
            self._runtime.launch(fetch)
        except Exception as error:  # noqa: BLE001  (no thread to be had; waiting callers get it)
            self._cache.fail(fetch, error)
        except BaseException:
            self._cache.abandon(fetch)
            raise
