"""Where a fleet keeps the connect rate that it shares: a server of Redis or Valkey.

All that the server remembers of an endpoint is when its next turn is free. That is the generic cell
rate algorithm (GCRA, ITU-T I.371) with a queue: a turn that is not free yet is not refused but
reserved. The server's clock alone decides, as those of the hosts differ, and a script runs there
undivided, so that two processes never get the same turn ("Scripting with Lua" and "TIME" in the
documentation of Redis).
"""

from __future__ import annotations

import logging
import random
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from sqlalchemy_rds_iam._fork import renew_in_child
from sqlalchemy_rds_iam._masking import on_one_line
from sqlalchemy_rds_iam._ratelimit.redis_socket import Deadline, keeping_to
from sqlalchemy_rds_iam._registry import Registry
from sqlalchemy_rds_iam._requirements import install
from sqlalchemy_rds_iam.errors import ConfigError

if TYPE_CHECKING:
    import redis

TIMEOUT = 0.25
"""Seconds that the server has to accept a connection, and again to answer."""

LIMIT = 4 * TIMEOUT
"""Seconds after which a call is given up: to connect, for TLS, to log in, and for the answer."""

HORIZON = 1.0
"""Seconds ahead of which no turn is reserved. Who asks then has to ask again."""

RETRY = (2.0, 4.0)
"""Least and most seconds after which a server that has failed is asked again."""

# A turn further ahead than any process can have reserved is one of a clock that was set back. What
# is no finite number is not of ours: to take it for free turns would be no rate at all.
_SCRIPT = """
local count, spacing, horizon = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local free = tonumber(redis.call('GET', KEYS[1]) or 0)
if not free or free - free ~= 0 then
  return redis.error_reply('RDSIAM ' .. KEYS[1] .. ' holds no time: delete it')
end
if free < now or free > now + 3 * horizon then free = now end
if free <= now + horizon then
  local after = free + count * spacing
  local left = math.ceil((after - now) / 1000)
  redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', left)
end
return {now, free - now}
"""
_MICRO = 1e6
_FURTHEST = round(3 * HORIZON * _MICRO)
_LATEST = 10**17  # in the year 5138; beyond that floats are not exact to the millisecond

# No clock gains or loses more (500 parts in a million is the most that Linux corrects).
_DRIFT = 0.001

logger = logging.getLogger("sqlalchemy_rds_iam")


class Reserved(NamedTuple):
    """Turns that were reserved, if any.

    Attributes:
        earliest: the first begins no earlier, as far as the clocks can be compared.
        latest: and no later.
        granted: whether they are ours. If not, they were too far ahead.
    """

    earliest: float
    latest: float
    granted: bool


class Storage:
    """The turns of a fleet on one server, and whether that can be reached. Thread-safe.

    Args:
        url: `rds_iam_rate_storage`.

    Attributes:
        down: whether the server failed when it was asked last.

    Raises:
        ConfigError: the redis package is missing, or does not know an option of the URL.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
        self._shown = on_one_line(f"{parts.scheme}://{place}{parts.path}")
        self._passwords = {
            unquote(parts.password or ""),
            *parse_qs(parts.query).get("password", ()),
        }
        self._url = url.replace("valkey", "redis", 1) if url.startswith("valkey") else url
        self._lock = threading.Lock()
        self._deadline = Deadline()
        self._retry_at = float("-inf")
        self._ahead = float("-inf"), float("inf")
        self._compared_at = 0.0
        self.down = False
        self._client = self._new_client()
        renew_in_child(self)

    def __repr__(self) -> str:
        return f"Storage({self._shown!r})"

    def reserve(
        self, name: str, count: int, spacing: float, clock: Callable[[], float]
    ) -> Reserved:
        """Reserve turns, one after the other, in one round trip. Blocks.

        Args:
            name: what the turns are for.
            count: how many.
            spacing: seconds from one to the next.
            clock: the time of the caller that is going to use them.

        Raises:
            ValueError: it answers what the script never does.
            Exception: of the redis package, and it may be any of them.
        """
        client = self._client
        sent = clock()
        self._deadline.at = time.monotonic() + LIMIT
        try:
            answer: Any = client.eval(
                _SCRIPT,
                1,
                f"rds_iam:{name}",
                str(count),
                str(round(spacing * _MICRO)),
                str(round(HORIZON * _MICRO)),
            )
        except Exception:
            # After a failover its name may lead somewhere else.
            client.connection_pool.disconnect()
            raise
        at, wait = _checked(answer)
        earliest, latest = self._compare(at, sent, clock())
        return Reserved(earliest + wait, latest + wait, wait <= HORIZON)

    def _compare(self, at: float, sent: float, received: float) -> tuple[float, float]:
        """Between what times of ours the server had a time of its own.

        That is some time within the round trip; and as far ahead of our clock as ever, so that the
        fastest round trip tells (as with the clock filter of NTP, RFC 5905 section 10).
        """
        with self._lock:
            drift = (received - self._compared_at) * _DRIFT
            least = max(at - received, self._ahead[0] - drift)
            most = min(at - sent, self._ahead[1] + drift)
            if least > most:  # one of the clocks was set
                least, most = at - received, at - sent
            self._ahead, self._compared_at = (least, most), received
            return at - most, at - least

    def ready(self, now: float) -> bool:
        """Whether to ask the server: always while it works, and else one of us now and then."""
        if not self.down:
            return True
        with self._lock:
            if now < self._retry_at:
                return False
            self._retry_at = now + random.uniform(*RETRY)  # noqa: S311
            return True

    def failed(self, why: object, now: float) -> None:
        """Note that the server could not be asked; all connects go on without it."""
        with self._lock:
            first, self.down = not self.down, True
            self._retry_at = now + random.uniform(*RETRY)  # noqa: S311
        if first:
            text = f"{type(why).__name__}: {why}" if isinstance(why, Exception) else str(why)
            for password in filter(None, self._passwords):
                text = text.replace(password, "…")
            logger.warning(
                "rate storage %s cannot be used: %s; each process keeps to the connect rate on "
                "its own until it can",
                self._shown,
                on_one_line(text),
            )

    def worked(self) -> None:
        """Note that the server has answered."""
        if self.down:
            with self._lock:
                ended, self.down = self.down, False
            if ended:
                logger.info("rate storage %s can be used again", self._shown)

    def _new_client(self) -> redis.Redis:
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError:
            raise ConfigError(
                f"rds_iam_rate_storage needs the redis package: {install('redis')}"
            ) from None
        problem = None
        try:
            client = redis.Redis.from_url(
                self._url,
                socket_timeout=TIMEOUT,
                socket_connect_timeout=TIMEOUT,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
            )
            pool = client.connection_pool
            pool.connection_class = keeping_to(self._deadline, pool.connection_class)
            # What the URL's options are worth shows when a connection is made of them.
            pool.connection_class(**pool.connection_kwargs)
        except (TypeError, ValueError) as error:
            problem = str(error).rstrip(".")
        if problem is not None:
            raise ConfigError(
                f"rds_iam_rate_storage={self._shown}: the redis package does not take its "
                f"options ({problem}); see Redis.from_url in its documentation"
            )
        # Not left to the collector, which may come to the socket before its connection.
        weakref.finalize(self, client.connection_pool.disconnect).atexit = False
        return client

    def after_fork(self) -> None:
        """Connect anew: the connections are the parent's, and a lock may have been held."""
        self._lock = threading.Lock()
        self._client = self._new_client()


def _checked(answer: Any) -> tuple[float, float]:
    """The server's time and the wait in an answer, in seconds.

    Raises:
        ValueError: the script answers otherwise.
    """
    match answer:
        case [int(at), int(wait)] if 0 <= at <= _LATEST and 0 <= wait <= _FURTHEST:
            return at / _MICRO, wait / _MICRO
    raise ValueError(
        f"expected the server's time and a wait of at most {_FURTHEST} µs, got {answer!r:.80}"
    )


_shared: Registry[Storage] = Registry()


def storage(url: str) -> Storage:
    """The one of this URL, which all endpoints share, in this process.

    Raises:
        ConfigError: the redis package is missing, or does not know an option of the URL.
    """
    return _shared.shared(url, lambda: Storage(url))
