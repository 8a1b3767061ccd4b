"""Waiting for the rate limiter: how a connect that may not begin yet comes to its turn.

An IAM login is limited to 200 a second by RDS, and one that is throttled is refused in the words
of one that is not allowed. So connects wait here, in the order in which they came.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._connecting.lateness import Lateness
from sqlalchemy_rds_iam._connecting.runtime import Runtime
from sqlalchemy_rds_iam._passwords.cache_entry import CacheEntry
from sqlalchemy_rds_iam._ratelimit.limiter import QueueTimeout, RateLimiter
from sqlalchemy_rds_iam._ratelimit.retry_policy import RetryState
from sqlalchemy_rds_iam.errors import WaitTimeout


class ConnectQueue:
    """The connects of one engine that wait for the limiter of their endpoint.

    Args:
        config: how long, and whether the first login of all goes ahead.
        runtime: how it waits.
        clock: the monotonic clock of their deadlines.
    """

    def __init__(
        self, config: PluginOptions, runtime: Runtime, clock: Callable[[], float] = monotonic
    ) -> None:
        self._config, self._runtime, self._clock = config, runtime, clock

    def wait(self, limiter: RateLimiter, entry: CacheEntry, state: RetryState) -> None:
        """Wait until this connect may begin.

        Raises:
            WaitTimeout: that is not before its deadline.
        """
        clock, deadline, lateness = self._clock, state.deadline, Lateness(self._clock)
        if self._config.retries_throttled:
            while seconds := state.wait_for_first(entry, clock()):
                with lateness.of(seconds):
                    self._runtime.sleep(seconds)
        ticket = None
        try:
            ticket = limiter.enqueue(clock(), deadline)
            while True:
                if (work := limiter.background_work(clock())) is not None:
                    self._runtime.start(work)
                if ticket is None:
                    return
                with lateness.of(ticket.wait):
                    self._runtime.sleep(ticket.wait)
                ticket = limiter.poll(ticket, clock(), deadline)
        except QueueTimeout as queue_timeout:
            if ticket is not None:
                limiter.cancel()
            state.give_up(entry)
            state.hand_on(entry)
            raise self._timeout(queue_timeout, limiter, entry, state, lateness) from None
        except BaseException:
            if ticket is not None:
                limiter.cancel()
            state.hand_on(entry)
            raise

    def _timeout(
        self,
        queue_timeout: QueueTimeout,
        limiter: RateLimiter,
        entry: CacheEntry,
        state: RetryState,
        lateness: Lateness,
    ) -> WaitTimeout:
        timeout = self._config.timeout
        if late := lateness.told(timeout):
            return WaitTimeout(
                f"not connected to {entry.endpoint} within {timeout:g} s (rds_iam_timeout): {late}"
            )
        return WaitTimeout(
            f"no turn to connect to {entry.endpoint} within {timeout:g} s "
            f"(rds_iam_timeout): {queue_timeout.waiting} connects come before this one, at "
            f"{limiter.current_rate:.0f} a second (rds_iam_connect_rate={limiter.rate}); "
            f"{state.throttled} logins of this one were refused, as if throttled. Keep "
            "more connections in the pool, put RDS Proxy in between, or raise the rate if "
            "AWS allows more"
        )
