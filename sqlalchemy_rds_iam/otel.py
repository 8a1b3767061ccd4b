"""Metrics for OpenTelemetry, which is imported only when an application asks for them.

What is counted anyway is read when metrics are collected. Only how long connecting takes is
measured for the purpose, from what SQLAlchemy's pool notes for `pool_recycle`.

Source: "Semantic conventions for database client metrics" of OpenTelemetry, for names and units.
Those of connection pools are in development there, in the version that `SCHEMA` names.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool, QueuePool

from sqlalchemy_rds_iam import __version__
from sqlalchemy_rds_iam._databases.known import driver
from sqlalchemy_rds_iam._fork import renew_in_child
from sqlalchemy_rds_iam._requirements import install
from sqlalchemy_rds_iam.errors import ConfigError
from sqlalchemy_rds_iam.stats import EndpointStats, Stats, rds_iam_stats

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
"""The conventions that names and units follow."""

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

Attributes = dict[str, str | int]


class Metric(NamedTuple):
    """One metric that is read from `rds_iam_stats`.

    Attributes:
        name: after ``sqlalchemy_rds_iam.``
        kind: of the instrument: ``counter``, ``up_down_counter`` or ``gauge``.
        unit: in UCUM, as OpenTelemetry has it.
        description: in words.
        of_engine: its value, for metrics of an engine. None is no value.
        of_endpoint: its value, for those of an endpoint.
    """

    name: str
    kind: str
    unit: str
    description: str
    of_engine: Callable[[Stats], float | None] | None = None
    of_endpoint: Callable[[EndpointStats], float | None] | None = None


METRICS = (
    Metric("connects", "counter", "{login}", "Accepted logins", lambda s: s.connects),
    Metric("minted", "counter", "{token}", "Signed tokens", lambda s: s.minted),
    Metric("renewed", "counter", "{fetch}", "Fetches that succeeded", lambda s: s.renewed),
    Metric("refused", "counter", "{login}", "Refused logins", lambda s: s.refused),
    Metric("throttled", "counter", "{login}", "Refused as if throttled", lambda s: s.throttled),
    Metric("retried", "counter", "{login}", "Logins after a refused one", lambda s: s.retried),
    Metric("outages", "counter", "{outage}", "Times fetching began to fail", lambda s: s.outages),
    Metric("failovers", "counter", "{failover}", "Servers looked for", lambda s: s.failovers),
    Metric(
        "outage.age",
        "gauge",
        "s",
        "Time for which fetching has been failing",
        lambda s: s.outage.age if s.outage else 0.0,
    ),
    Metric(
        "credentials.age", "gauge", "s", "Time since the last fetch", lambda s: s.credentials_age
    ),
    Metric(
        "credentials.left", "gauge", "s", "Time until they expire", lambda s: s.credentials_left
    ),
    Metric("token.age", "gauge", "s", "Age of the token in hand", None, lambda e: e.token_age),
    Metric("token.left", "gauge", "s", "Life left of it", None, lambda e: e.token_left),
    Metric(
        "connect_rate",
        "gauge",
        "{connection}/s",
        "Most new connections a second at the moment",
        None,
        lambda e: e.connect_rate,
    ),
    Metric(
        "waiting",
        "up_down_counter",
        "{connection}",
        "Connects of the process that wait for their turn at the endpoint",
        None,
        lambda e: e.waiting,
    ),
)


_STATE = "db.client.connection.state"


class PoolMetric(NamedTuple):
    """One metric that is read from a pool, of those that count their connections.

    Attributes:
        name: that of the conventions.
        description: in their words.
        values: its values, each with its attributes. None is no value.
    """

    name: str
    description: str
    values: Callable[[QueuePool], dict[str, int | None]]


POOL_METRICS = (
    PoolMetric(
        "db.client.connection.count",
        "The number of connections that are currently in state described by the `state` attribute.",
        lambda pool: {"idle": pool.checkedin(), "used": pool.checkedout()},
    ),
    PoolMetric(
        "db.client.connection.idle.max",
        "The maximum number of idle open connections allowed.",
        lambda pool: {"": pool.size() or None},  # 0 is no limit
    ),
)


def instrument(
    engine: Engine | AsyncEngine, *, name: str | None = None, meter_provider: Any = None
) -> None:
    """Hand an engine's metrics to OpenTelemetry, for as long as the engine lives.

    Args:
        engine: a sync or async engine, with ``rds_iam`` or ``rds_secret``. Once is enough; another
            time changes nothing.
        name: the engine's ``db.client.connection.pool.name``; by default the pool's logging name,
            else host, port and database of the URL. A second one of the same name gets a number.
        meter_provider: of OpenTelemetry; by default the global one.

    Raises:
        ConfigError: OpenTelemetry is not installed, or the engine has neither plugin.
    """
    rds_iam_stats(engine)
    try:
        from opentelemetry import metrics
    except ImportError:
        raise ConfigError(
            f"metrics for OpenTelemetry need its API: {install('opentelemetry')}"
        ) from None
    meter = metrics.get_meter("sqlalchemy_rds_iam", __version__, meter_provider, SCHEMA)
    provider = meter_provider or metrics
    sync_engine: Any = getattr(engine, "sync_engine", engine)
    with _providers.lock:
        meters = _providers.get(provider)
        if meters is None:
            meters = _providers[provider] = _Instruments(meter, metrics.Observation)
        meters.add(sync_engine, name)


class _Instruments:
    """The instruments of one meter provider, and the engines that they read."""

    def __init__(self, meter: Any, observation: Callable[..., Any]) -> None:
        self._observation = observation
        # Copied at once whenever it is read, and so without a lock.
        self._engines: dict[str, weakref.ref[Engine]] = {}
        self._used: weakref.WeakSet[Pool] = weakref.WeakSet()
        self._create_time = meter.create_histogram(
            "db.client.connection.create_time",
            unit="s",
            description="The time it took to create a new connection.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        for metric in METRICS:
            create = getattr(meter, f"create_observable_{metric.kind}")
            create(
                f"sqlalchemy_rds_iam.{metric.name}",
                callbacks=[functools.partial(self._observe, metric)],
                unit=metric.unit,
                description=metric.description,
            )
        for each in POOL_METRICS:
            meter.create_observable_up_down_counter(
                each.name,
                callbacks=[functools.partial(self._observe_pool, each)],
                unit="{connection}",
                description=each.description,
            )

    def add(self, engine: Engine, name: str | None) -> None:
        """Read this engine, too."""
        known = {name: reference() for name, reference in self._engines.copy().items()}
        if engine in known.values():
            return
        for gone in [name for name, each in known.items() if each is None]:
            self._engines.pop(gone, None)
        own, number = name or _name(engine), 1
        unique = own
        while known.get(unique) is not None:
            number += 1
            unique = f"{own}#{number}"
        self._engines[unique] = weakref.ref(engine)
        self._measure(engine, _attributes(engine, unique))

    def _measure(self, engine: Engine, attributes: Attributes) -> None:
        record_time, used, reference = self._create_time.record, self._used, weakref.ref(engine)

        def connected(_connection: Any, record: Any) -> None:
            record_time(max(time() - record.starttime, 0.0), attributes)
            if (connecting := reference()) is not None:
                used.add(connecting.pool)

        # First of all, since SQLAlchemy's own listener asks the server for its version and more.
        event.listen(engine, "connect", connected, insert=True)

    def _observe(self, metric: Metric, _options: Any) -> Iterator[Any]:
        for engine, attributes in self._observed():
            for value, more in _values(metric, rds_iam_stats(engine)):
                if value is not None:
                    yield self._observation(value, attributes | more)

    def _observe_pool(self, metric: PoolMetric, _options: Any) -> Iterator[Any]:
        for engine, attributes in self._observed():
            pool = engine.pool
            # A pool's first connect makes the queue of an async one, which no other thread may.
            if not (isinstance(pool, QueuePool) and pool in self._used):
                continue
            for state, value in metric.values(pool).items():
                if value is not None:
                    more = {_STATE: state} if state else {}
                    yield self._observation(value, attributes | more)

    def _observed(self) -> Iterator[tuple[Engine, Attributes]]:
        for name, reference in self._engines.copy().items():
            engine = reference()
            if engine is not None:
                yield engine, _attributes(engine, name)


class _Providers(weakref.WeakKeyDictionary[Any, _Instruments]):
    """The instruments of each meter provider.

    Attributes:
        lock: held while an engine is added, so that one that is added twice at once has one name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.after_fork()
        renew_in_child(self)

    def after_fork(self) -> None:
        """Make the lock anew, which another thread may have held."""
        self.lock = threading.RLock()


_providers = _Providers()


def _values(metric: Metric, stats: Stats) -> Iterable[tuple[float | None, Attributes]]:
    if metric.of_engine is not None:
        yield metric.of_engine(stats), {}
    if metric.of_endpoint is not None:
        for each in stats.endpoints:
            host, port, *_ = each.endpoint
            yield metric.of_endpoint(each), {"server.address": host, "server.port": port}


def _name(engine: Engine) -> str:
    url = engine.url
    port = url.port or driver(engine.dialect.driver).family.port
    where = f"{url.host or 'secret'}:{port}/{url.database or ''}"
    return engine.pool.logging_name or where


def _attributes(engine: Engine, name: str) -> Attributes:
    # SQLAlchemy's names of the dialects are those of the conventions.
    found: Attributes = {
        "db.system.name": engine.dialect.name,
        "db.client.connection.pool.name": name,
    }
    return found | ({"db.namespace": engine.url.database} if engine.url.database else {})
