"""OpenTelemetry: what it collects is what `rds_iam_stats` says, under names of the conventions."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from events_support import Seen
from families import Words
from patience import DEADLINE
from rds_secret_support import LogIn
from sqlalchemy import create_engine, event
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam import ConfigError, rds_iam_stats
from sqlalchemy_rds_iam.otel import METRICS, POOL_METRICS, SCHEMA, instrument
from sqlalchemy_rds_iam.testing import RdsEmulator, Secret

pytest.importorskip("opentelemetry.sdk.metrics", reason="opentelemetry-sdk is not installed")

from otel_support import CREATE_TIME, POOL, Collector

Connect = Callable[..., Database]
URL = "postgresql+psycopg://app@db.abc123.us-east-1.rds.amazonaws.com/app?plugin=rds_iam"


def test_it_is_what_the_snapshot_says(
    rds: RdsEmulator, connect: Connect, collector: Collector
) -> None:
    """Each metric has the value, the unit and the attributes that it is said to have."""
    database = connect(poolclass=NullPool)
    engine = database._async_engine if database.is_async else database.engine
    instrument(engine, name="orders", meter_provider=collector.provider)
    for _ in range(3):
        database.scalar("select 1")
    found, stats = collector.metrics(), rds_iam_stats(engine)
    known = {f"sqlalchemy_rds_iam.{metric.name}": metric for metric in METRICS}
    # These credentials have no known end.
    conventional = {name for name in found if name.startswith("db.client.connection.")}
    assert found.keys() - conventional == known.keys() - {"sqlalchemy_rds_iam.credentials.left"}
    own = {
        "db.system.name": engine.dialect.name,
        POOL: "orders",
        "db.namespace": engine.url.database,
    }
    [endpoint] = stats.endpoints
    where = {"server.address": endpoint.endpoint.host, "server.port": rds.endpoint.port}
    for name in known.keys() & found.keys():
        metric = known[name]
        [point] = found[name].data.data_points
        assert found[name].unit == metric.unit
        of_endpoint = metric.of_endpoint is not None
        assert point.attributes == own | (where if of_endpoint else {})
        value = (metric.of_endpoint or metric.of_engine)(
            stats.endpoints[0] if of_endpoint else stats
        )
        assert point.value == pytest.approx(value, abs=5 if metric.unit == "s" else 1e-9)
    counted = {name: found[f"sqlalchemy_rds_iam.{name}"] for name in ("connects", "minted")}
    assert [m.data.data_points[0].value for m in counted.values()] == [3, 1]
    assert all(m.data.is_monotonic for m in counted.values())
    assert not found["sqlalchemy_rds_iam.waiting"].data.is_monotonic


def test_how_long_connecting_takes(
    rds: RdsEmulator, connect: Connect, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The histogram has each new connection once, what it waited for included, and no failure."""
    monkeypatch.setattr(rds.gateway, "auth_delay", 0.03)
    database = connect()
    source = database.inside.source
    keys = source._plain

    def slowly() -> Any:
        time.sleep(0.03)
        return keys()

    monkeypatch.setattr(source, "_plain", slowly)
    instrument(database.engine, meter_provider=collector.provider)
    for _ in range(3):
        database.scalar("select 1")
    [point] = collector.points(CREATE_TIME)
    assert point.count == 1
    assert 0.06 <= point.sum < DEADLINE
    assert collector.metrics()[CREATE_TIME].unit == "s"
    assert point.explicit_bounds[0] < 0.01
    refused = connect(poolclass=NullPool)
    instrument(refused.engine, name="refused", meter_provider=collector.provider)
    rds.gateway.refuse_next = 9
    refused.raises(Exception)
    [point] = collector.points(CREATE_TIME)
    assert point.attributes[POOL] != "refused"


def test_the_pool(rds: RdsEmulator, connect: Connect, collector: Collector) -> None:
    """The connections of a pool are counted by their state, and what it keeps at most is told."""
    database = connect(pool_size=3)
    engine = database._async_engine if database.is_async else database.engine
    instrument(engine, name="orders", meter_provider=collector.provider)
    count, most = (metric.name for metric in POOL_METRICS)
    assert count not in collector.metrics()
    database.scalar("select 1")

    def states() -> dict[str, int]:
        found = collector.points(count)
        assert {point.attributes[POOL] for point in found} == {"orders"}
        return {point.attributes["db.client.connection.state"]: point.value for point in found}

    assert states() == {"idle": 1, "used": 0}
    [point] = collector.points(most)
    assert point.value == 3
    if not database.is_async:
        with engine.connect(), engine.connect():
            assert states() == {"idle": 0, "used": 2}
    assert not collector.metrics()[count].data.is_monotonic
    [scope] = collector.scopes()
    assert scope.schema_url == SCHEMA
    assert scope.version


def test_pools_that_do_not_count(rds: RdsEmulator, collector: Collector) -> None:
    """Of a pool without a size, and of one that keeps nothing, there is no such metric."""
    for kwargs in ({"poolclass": NullPool}, {"pool_size": 0, "max_overflow": -1}):
        engine = create_engine(rds.url(), **kwargs)
        instrument(engine, meter_provider=collector.provider)
        with engine.connect():
            assert "db.client.connection.idle.max" not in collector.metrics()
        engine.dispose()


def test_with_a_secret(log_in: LogIn, secret: Secret, collector: Collector, words: Words) -> None:
    """Engines of the other plugin have the same; the server is where the secret leads."""
    database = log_in(secret)
    instrument(database.engine, meter_provider=collector.provider)
    for _ in range(2):
        database.scalar("select 1")
    [point] = collector.points("sqlalchemy_rds_iam.connects")
    assert point.value == 2
    assert point.attributes[POOL] == f"secret:{words.port}/"
    [point] = collector.points("sqlalchemy_rds_iam.token.age")
    assert point.attributes["server.address"]
    assert "sqlalchemy_rds_iam.connect_rate" not in collector.metrics()


def test_names(ca: str, collector: Collector) -> None:
    """Pools are told apart: by the name given, that of the pool, the URL, and at last a number."""
    engines = [create_engine(URL) for _ in range(2)]
    engines.append(create_engine(URL, pool_logging_name="reports"))
    engines.append(create_engine(URL))
    for engine, name in zip(engines, (None, None, None, "reports"), strict=True):
        for _ in range(2):
            instrument(engine, name=name, meter_provider=collector.provider)
    host = engines[0].url.host
    points = collector.points("sqlalchemy_rds_iam.connects")
    names = [f"{host}:5432/app", f"{host}:5432/app#2", "reports", "reports#2"]
    assert [point.attributes[POOL] for point in points] == names


def test_an_engine_that_is_gone(ca: str, collector: Collector) -> None:
    """It is not kept and not observed any more; its name is free again."""
    for _ in range(2):
        engine = create_engine(URL)
        instrument(engine, name="app", meter_provider=collector.provider)
        [point] = collector.points("sqlalchemy_rds_iam.refused")
        assert point.attributes[POOL] == "app"
        del engine
        gc.collect()
        assert collector.metrics() == {}


def test_other_listeners(rds: RdsEmulator, collector: Collector) -> None:
    """Listeners of the application work as ever, whenever they came."""
    called = []
    engine = create_engine(rds.url())
    event.listen(engine, "do_connect", lambda *_: called.append(1))
    event.listen(engine, "connect", lambda *_: called.append(2))
    instrument(engine, meter_provider=collector.provider)
    event.listen(engine, "connect", lambda *_: called.append(3))
    with engine.connect():
        pass
    engine.dispose()
    assert called == [1, 2, 3]
    assert collector.points(CREATE_TIME)[0].count == 1


def test_canaries(
    rds: RdsEmulator, connect: Connect, session_key: Any, seen: Seen, collector: Collector
) -> None:
    """No key, token or session token is exported, nor an access key id, masked or not."""
    database = connect(poolclass=NullPool)
    instrument(database.engine, meter_provider=collector.provider)
    database.inside.reload_at_once()
    rds.gateway.refuse_next = 1
    database.scalar("select 1")
    token = str(database.inside.token.password)
    shown = "\n".join(map(repr, collector.metrics().values()))
    assert "sqlalchemy_rds_iam.refused" in shown
    for each in (session_key.secret_key, session_key.session_token, token, token[-64:]):
        assert each not in shown
    assert session_key.access_key[-4:] not in shown


def test_names_follow_the_conventions() -> None:
    """Names and units are such as OpenTelemetry asks for, and no two are the same."""
    names = [metric.name for metric in METRICS]
    assert len({*names}) == len(names)
    for metric in METRICS:
        assert re.fullmatch(r"[a-z]+([._][a-z]+)*", metric.name)
        assert re.fullmatch(r"s|\{[a-z]+\}(/s)?", metric.unit)
        assert (metric.of_engine is None) != (metric.of_endpoint is None)


def test_what_cannot_be_instrumented(collector: Collector) -> None:
    """An engine without a plugin is refused, as by `rds_iam_stats`."""
    engine = create_engine(URL.partition("?")[0])
    with pytest.raises(ConfigError, match="without the plugins"):
        instrument(engine, meter_provider=collector.provider)


def test_nothing_is_imported_unasked(rds: RdsEmulator) -> None:
    """Connecting, events and snapshots import nothing of OpenTelemetry; without it, it is named."""
    _python(
        "import sys\n"
        "from sqlalchemy import create_engine\n"
        "from sqlalchemy_rds_iam import ConfigError, rds_iam_stats\n"
        "from sqlalchemy_rds_iam.otel import instrument\n"
        f"engine = create_engine({rds.url().render_as_string()!r}, rds_iam_on_event=print)\n"
        "engine.connect().close()\n"
        "assert rds_iam_stats(engine).connects == 1\n"
        "found = [name for name in sys.modules if name.startswith('opentelemetry')]\n"
        "assert not found, found\n"
        "sys.modules['opentelemetry'] = None\n"
        "try:\n"
        "    instrument(engine)\n"
        "except ConfigError as error:\n"
        "    assert 'opentelemetry-api>=' in str(error), error\n"
        "else:\n"
        "    raise SystemExit('no error')\n"
        "engine.dispose()"
    )


def test_before_there_is_a_provider(rds: RdsEmulator) -> None:
    """The global provider may be set after an engine was instrumented, and none is needed."""
    _python(
        "from opentelemetry import metrics\n"
        "from opentelemetry.sdk.metrics import MeterProvider\n"
        "from opentelemetry.sdk.metrics.export import InMemoryMetricReader\n"
        "from sqlalchemy import create_engine\n"
        "from sqlalchemy_rds_iam.otel import instrument\n"
        f"engine = create_engine({rds.url().render_as_string()!r})\n"
        "instrument(engine)\n"
        "reader = InMemoryMetricReader()\n"
        "metrics.set_meter_provider(MeterProvider([reader]))\n"
        "instrument(engine)\n"
        "engine.connect().close()\n"
        "[scope] = reader.get_metrics_data().resource_metrics[0].scope_metrics\n"
        "values = {m.name: m.data.data_points for m in scope.metrics}\n"
        "assert len(values) == len(scope.metrics)\n"
        "[point] = values['sqlalchemy_rds_iam.connects']\n"
        "assert point.value == 1\n"
        "assert values['db.client.connection.create_time'][0].count == 1\n"
        "engine.dispose()"
    )


def _python(code: str) -> None:
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
