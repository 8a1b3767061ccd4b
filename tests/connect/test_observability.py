"""docs/logging-metrics.md says what there is, and its recipe for Prometheus tells the truth."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields

import pytest
from docs_support import documents
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam import Event, Stats, rds_iam_stats
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam.events import KINDS, Identity
from sqlalchemy_rds_iam.otel import METRICS
from sqlalchemy_rds_iam.testing import RdsEmulator

DOCUMENT = documents()["docs/logging-metrics.md"]
ROWS = [line for line in DOCUMENT.prose if line.startswith("| `")]


def _named(pattern: str) -> set[str]:
    """What is in the first cells of the tables, as far as it is of this pattern."""
    cells = " ".join(row.split("|")[1] for row in ROWS)
    return set(re.findall(rf"`({pattern})`", cells))


def test_every_kind_and_field_is_documented() -> None:
    """The tables have each kind of event and each field of a record, and no other."""
    parts = {field.name for part in (Event, Identity) for field in fields(part)}
    known = {*KINDS, *parts, *Endpoint._fields} - {"endpoint", "identity"}
    alerts = {
        "outage_begun",
        "outage_ended",
        "refused",
        "throttled",
        "waiting",
        "retried",
        "connects",
    }
    pools = {"idle", "used"}
    assert _named("[a-z_]+") == known | alerts | pools | {"connect_rate"}


def test_every_metric_is_documented() -> None:
    """The table has each metric, with its instrument and unit, and no other."""
    found = {}
    for row in ROWS:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        for name in re.findall(r"`(?:sqlalchemy_rds_iam)?\.([a-z_.]+)`", cells[0]):
            found[name] = (cells[1], cells[2].strip("`"))
    kinds = {"up_down_counter": "up-down counter"}
    assert found == {m.name: (kinds.get(m.kind, m.kind), m.unit) for m in METRICS}


def test_the_recipe_for_prometheus(
    rds: RdsEmulator, databases: Callable[..., Database], connect: Callable[..., Database]
) -> None:
    """What Prometheus scrapes with the documented collector is what the snapshots say."""
    prometheus = pytest.importorskip("prometheus_client")
    [recipe] = [block for block in DOCUMENT.blocks if "class RdsIamCollector" in block.text]
    namespace: dict[str, object] = {}
    exec(recipe.text, namespace)
    database, idle = connect(poolclass=NullPool), databases(rds.url())
    database.inside.reload_at_once()
    rds.gateway.refuse_next = 1
    for _ in range(3):
        database.scalar("select 1")
    registry = prometheus.CollectorRegistry()
    engines = {"orders": database.engine, "idle": idle.engine}
    registry.register(namespace["RdsIamCollector"](**engines))  # type: ignore[operator]
    counts = [field.name for field in fields(Stats) if field.type == "int"]
    assert list(namespace["COUNTS"]) == counts  # type: ignore[call-overload]
    for name, engine in engines.items():
        stats = rds_iam_stats(engine)
        for count in counts:
            value = registry.get_sample_value(f"sqlalchemy_rds_iam_{count}_total", {"engine": name})
            assert value == getattr(stats, count)
        [each] = stats.endpoints
        server = {"server": f"app@{each.endpoint.host}:{each.endpoint.port}", "engine": name}
        rate = registry.get_sample_value("sqlalchemy_rds_iam_connect_rate", server)
        assert rate == each.connect_rate
        assert registry.get_sample_value("sqlalchemy_rds_iam_waiting", server) == 0
        outage = registry.get_sample_value("sqlalchemy_rds_iam_outage_seconds", {"engine": name})
        assert outage == 0
    assert registry.get_sample_value("sqlalchemy_rds_iam_refused_total", {"engine": "orders"}) == 1
