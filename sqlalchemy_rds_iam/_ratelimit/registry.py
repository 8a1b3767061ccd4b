"""Which rate limiter an engine has: that of its process, or that of a fleet."""

from __future__ import annotations

from sqlalchemy_rds_iam._ratelimit.limiter import RateLimiter
from sqlalchemy_rds_iam._registry import Registry

_limiters: Registry[RateLimiter] = Registry()


def limiter_for(host: str, port: int, rate: int, rate_storage: str) -> RateLimiter | None:
    """The limiter that all engines of this process share at an endpoint, if the rate is the same.

    Engines with rates of their own have limiters of their own, so that a ceiling can be divided.

    Args:
        host: of the signed endpoint; `port` likewise.
        port: see `host`.
        rate: most connects a second; 0 for no limit.
        rate_storage: the URL of the server through which a fleet shares them, or ``memory://``.

    Raises:
        ConfigError: the redis package is missing, or does not know an option of the URL.
    """
    if rate == 0:
        return None

    def make() -> RateLimiter:
        if rate_storage == "memory://":
            return RateLimiter(rate)
        # Only a fleet needs it, and it takes time to import.
        from sqlalchemy_rds_iam._ratelimit.redis_store import storage
        from sqlalchemy_rds_iam._ratelimit.shared_limiter import SharedRateLimiter

        return SharedRateLimiter(rate, storage(rate_storage), f"{host}:{port}")

    return _limiters.shared((host, port, rate, rate_storage), make)
