"""Whose turns an engine takes: those of its process, or those of a fleet."""

from __future__ import annotations

from sqlalchemy_rds_iam._ratelimit.limiter import Pace
from sqlalchemy_rds_iam._registry import Registry

_paces: Registry[Pace] = Registry()


def pace_at(host: str, port: int, rate: int, rate_storage: str) -> Pace | None:
    """The turns that all engines of this process share at an endpoint, if the rate is the same.

    Engines with rates of their own have turns of their own, so that a ceiling can be divided.

    Args:
        host: of the signed endpoint; `port` likewise.
        port: see `host`.
        rate: most connects a second; 0 for no turns at all.
        rate_storage: the URL of the server through which a fleet shares them, or ``memory://``.

    Raises:
        ConfigError: the redis package is missing, or does not know an option of the URL.
    """
    if rate == 0:
        return None

    def make() -> Pace:
        if rate_storage == "memory://":
            return Pace(rate)
        # Only a fleet needs it, and it takes time to import.
        from sqlalchemy_rds_iam._ratelimit.redis_store import storage
        from sqlalchemy_rds_iam._ratelimit.shared_limiter import SharedPace

        return SharedPace(rate, storage(rate_storage), f"{host}:{port}")

    return _paces.shared((host, port, rate, rate_storage), make)
