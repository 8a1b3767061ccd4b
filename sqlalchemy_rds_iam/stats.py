"""What one engine has done and has in hand: `rds_iam_stats`. It reads, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from sqlalchemy.engine import Engine

from sqlalchemy_rds_iam._connecting.listener import ConnectListener
from sqlalchemy_rds_iam._connecting.provider import ConnectPlan
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam._passwords.identity import Identity
from sqlalchemy_rds_iam._ratelimit.retry_policy import NEVER
from sqlalchemy_rds_iam.errors import ConfigError
from sqlalchemy_rds_iam.events import left

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


@dataclass(frozen=True, slots=True)
class EndpointStats:
    """An endpoint that an engine connects to, or has connected to.

    What is about turns is shared by all engines of the process that connect to the same host and
    port at the same rate.

    Attributes:
        endpoint: host, port, user, and the region of the signature.
        token_age: seconds since the token in hand was signed; None if there is none.
        token_left: seconds that it is good for; None for passwords.
        accepted_age: seconds since a login was accepted there; None if none was.
        connect_rate: new connections a second that may begin there at the moment; None if there is
            no limit.
        waiting: connects that wait for their turn.
        throttles: logins that were taken for throttled.
        cuts: how often that has cut the rate.
    """

    endpoint: Endpoint
    token_age: float | None = None
    token_left: float | None = None
    accepted_age: float | None = None
    connect_rate: float | None = None
    waiting: int = 0
    throttles: int = 0
    cuts: int = 0


@dataclass(frozen=True, slots=True)
class OutageStats:
    """Fetches of credentials, or of the secret, that have failed in a row, the last one included.

    Attributes:
        failures: how many.
        age: seconds since the first.
        retry_in: seconds until the next one that no caller has to wait for; negative if it is due.
        error: why the last one failed.
    """

    failures: int
    age: float
    retry_in: float
    error: str


@dataclass(frozen=True, slots=True)
class Stats:
    """One engine at one moment.

    The counts begin at 0 with the engine, and in a forked process with what they were. Those of
    what engines share (`renewed`, `outages`) are in the counts of each of them.

    Attributes:
        plugin: ``rds_iam`` or ``rds_secret``.
        at: the moment, in epoch seconds.
        identity: who logs in.
        connects: logins that were accepted.
        minted: tokens that were signed, or passwords taken up, for connects of this engine.
        renewed: fetches of credentials, or of the secret, that have succeeded.
        refused: logins that the server has refused.
        throttled: those among them that were taken for throttled.
        retried: logins that were begun after a refused one of the same connect.
        outages: how often fetching has begun to fail.
        failovers: how often its connects began the search for the server that is wanted.
        credentials_age: seconds since the credentials, or the secret, were fetched; None before.
        credentials_left: seconds until they expire; None if that is unknown, and for secrets.
        outage: the one that goes on; None if all is well.
        endpoints: where to.
    """

    plugin: str
    at: float
    identity: Identity
    connects: int
    minted: int
    renewed: int
    refused: int
    throttled: int
    retried: int
    outages: int
    failovers: int
    credentials_age: float | None
    credentials_left: float | None
    outage: OutageStats | None
    endpoints: tuple[EndpointStats, ...]


def rds_iam_stats(engine: Engine | AsyncEngine) -> Stats:
    """Take a snapshot of what an engine with one of the plugins has done and has in hand.

    It sends no request, waits for nothing and takes no lock, so it may be called often.

    Args:
        engine: a sync or async engine, with ``rds_iam`` or ``rds_secret``.

    Raises:
        ConfigError: it is no engine, or has neither plugin.
    """
    listener = _listener(engine)
    provider = listener.provider
    cache = provider.caches[0]
    cached, failing, now = cache.cached, cache.outage, cache.clock()
    outage = None
    if failing is not None:
        age, retry_in = now - failing.began_at, failing.retry_at - now
        outage = OutageStats(failing.failures, age, retry_in, str(failing.error))
    endpoints: dict[Endpoint, EndpointStats] = {}
    for plan in provider.plans.copy().values():
        endpoints.setdefault(plan.target.endpoint, _endpoint(plan, now))
    origin, counts = provider.reporter.origin, provider.reporter.counts
    return Stats(
        plugin=origin.plugin,
        at=now,
        identity=origin.identity(cached),
        connects=listener.accepted.value,
        minted=counts["minted"],
        renewed=counts["renewed"],
        refused=counts["refused"],
        throttled=counts["throttled"],
        retried=counts["retried"],
        outages=counts["outage_begun"],
        failovers=counts["failover_begun"],
        credentials_age=now - cached.fetched_at if cached else None,
        credentials_left=left(cached.fetched.expires_at, now) if cached else None,
        outage=outage,
        endpoints=tuple(endpoints.values()),
    )


def _listener(engine: Engine | AsyncEngine) -> ConnectListener:
    sync_engine = getattr(engine, "sync_engine", engine)
    if not isinstance(sync_engine, Engine):
        raise ConfigError(
            f"rds_iam_stats({type(engine).__name__}): expected an Engine or an AsyncEngine"
        )
    for listener in sync_engine.dialect.dispatch.do_connect:
        owner = getattr(listener, "__self__", None)
        if isinstance(owner, ConnectListener):
            return owner
    raise ConfigError(
        f"rds_iam_stats({sync_engine!r}): this engine connects without the plugins rds_iam and "
        "rds_secret: name one in its URL (?plugin=rds_iam), and do not switch it off"
    )


def _endpoint(plan: ConnectPlan, now: float) -> EndpointStats:
    entry, limiter = plan.entry, plan.limiter
    token = entry.token
    return EndpointStats(
        plan.target.endpoint,
        now - token.signed_at if token else None,
        left(token.expires_at, now) if token else None,
        monotonic() - entry.accepted_at if entry.accepted_at != NEVER else None,
        limiter.current_rate if limiter else None,
        limiter.waiting if limiter else 0,
        limiter.throttles if limiter else 0,
        limiter.cuts if limiter else 0,
    )
