"""What OpenTelemetry collects, for tests of it."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

POOL = "db.client.connection.pool.name"
CREATE_TIME = "db.client.connection.create_time"


class Collector:
    """A meter provider, and what it collects."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider([self._reader], shutdown_on_exit=False)

    def metrics(self) -> dict[str, Any]:
        """The metrics as of now, by name."""
        data = self._reader.get_metrics_data()
        found = data.resource_metrics if data else []
        return {m.name: m for r in found for s in r.scope_metrics for m in s.metrics}

    def scopes(self) -> list[Any]:
        """What the metrics are of."""
        data = self._reader.get_metrics_data()
        found = data.resource_metrics if data else []
        return [scope.scope for each in found for scope in each.scope_metrics]

    def points(self, name: str) -> list[Any]:
        """The data points of one metric."""
        return list(self.metrics()[name].data.data_points)
