"""OpenTelemetry's own package of its semantic conventions says what we say by their names."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
from events_support import Seen
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from sqlalchemy_rds_iam import Endpoint, Event, Identity
from sqlalchemy_rds_iam._databases.known import FAMILIES
from sqlalchemy_rds_iam.events import KINDS
from sqlalchemy_rds_iam.otel import POOL_METRICS, SCHEMA, instrument
from sqlalchemy_rds_iam.testing import RdsEmulator

pytest.importorskip("opentelemetry.sdk.metrics", reason="opentelemetry-sdk is not installed")

from otel_support import CREATE_TIME, Collector


@pytest.fixture
def conventions() -> Callable[[str], Any]:
    """Import a module of OpenTelemetry's package of its semantic conventions."""
    schemas = pytest.importorskip("opentelemetry.semconv.schemas").Schemas
    if SCHEMA not in {each.value for each in schemas}:
        pytest.skip("an older version of the semantic conventions is installed")
    return lambda name: importlib.import_module(f"opentelemetry.semconv._incubating.{name}")


def test_metrics_are_those_of_the_conventions(
    rds: RdsEmulator, collector: Collector, conventions: Callable[[str], Any]
) -> None:
    """A metric with a name of theirs has their kind, unit and description."""
    engine = create_engine(rds.url())
    instrument(engine, meter_provider=collector.provider)
    engine.connect().close()
    ours = {name: each for name, each in collector.metrics().items() if name.startswith("db.")}
    engine.dispose()
    their_own = Collector()
    meter, metrics = their_own.provider.get_meter("theirs"), conventions("metrics.db_metrics")
    for name in ours:
        made = getattr(metrics, f"create_{name.replace('.', '_')}")(meter)
        getattr(made, "add", getattr(made, "record", None))(1)
    theirs = their_own.metrics()
    their_own.provider.shutdown()
    assert ours.keys() == {metric.name for metric in POOL_METRICS} | {CREATE_TIME}
    assert [*map(_form, ours.values())] == [*map(_form, map(theirs.get, ours))]


def _form(metric: Any) -> tuple[Any, ...]:
    data = metric.data
    kind = type(data), getattr(data, "is_monotonic", None), data.aggregation_temporality
    return (metric.name, metric.unit, metric.description, *kind)


def test_attributes_are_those_of_the_conventions(
    rds: RdsEmulator, collector: Collector, conventions: Callable[[str], Any], seen: Seen
) -> None:
    """Of metrics and of events, an attribute without our prefix is one of theirs."""
    engine = create_engine(rds.url(), rds_iam_on_event=seen)
    instrument(engine, meter_provider=collector.provider)
    rds.gateway.refuse_next = 1
    with pytest.raises(OperationalError):
        engine.connect()
    engine.connect().close()
    points = [point for each in collector.metrics().values() for point in each.data.data_points]
    engine.dispose()
    endpoint = Endpoint("db.abc123.us-east-1.rds.amazonaws.com", 5432, "app", "us-east-1")
    about = {"endpoint": endpoint, "identity": Identity(secret="arn", version="v"), "error": "x"}
    events = [Event(kind=kind, plugin="rds_secret", at=1, **about) for kind in KINDS]
    found = {name for each in points for name in each.attributes}
    found |= {name for each in (*events, *seen) for name in each.as_attributes()}
    found = {name for name in found if not name.startswith("sqlalchemy_rds_iam.")}
    modules = {name.partition(".")[0] for name in found}
    known = {
        value
        for module in modules
        for value in vars(conventions(f"attributes.{module}_attributes")).values()
        if isinstance(value, str)
    }
    assert found <= known
    assert {"server.address", "user.name", "db.client.connection.state", "error.type"} <= found
    attributes = conventions("attributes.db_attributes")
    states = {each.value for each in attributes.DbClientConnectionStateValues}
    assert {"idle", "used"} == states
    systems = {each.value for each in attributes.DbSystemNameValues}
    assert FAMILIES.keys() <= systems
