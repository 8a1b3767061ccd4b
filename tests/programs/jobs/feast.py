# /// script
# requires-python = ">=3.11"
# dependencies = ["feast", "psycopg[binary]>=3.2"]
#
# [tool.program]
# title = "Feast"
# url = "https://feast.dev"
# group = "Machine learning"
# packages = ["feast"]
# drivers = ["postgresql+psycopg"]
# write = '''
# The URL as the path of a registry in SQL, in `feature_store.yaml`, and keywords of the engine
# beside it:
#
# ```yaml
# registry:
#   registry_type: sql
#   path: postgresql+psycopg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam
#   sqlalchemy_config_kwargs:
#     pool_pre_ping: true
# ```
# '''
# limits = '''
# The offline and online stores of type `postgres` connect with psycopg itself, without the plugin:
# take stores of another type, or a user with a password for them.
# '''
# ///
"""A feature view that is applied to a registry in the database, and read from it by a store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from feast import FeatureStore
from job import command, run, url

STORE = f"""
project: shop
provider: local
entity_key_serialization_version: 3
registry:
  registry_type: sql
  path: {json.dumps(url())}
  cache_ttl_seconds: 1
  sqlalchemy_config_kwargs:
    pool_pre_ping: true
online_store:
  type: sqlite
  path: online.db
"""
FEATURES = """
from feast import Entity, FeatureView, Field, FileSource
from feast.types import Float32

driver = Entity(name="driver", join_keys=["driver_id"])
trips = FeatureView(
    name="trips",
    entities=[driver],
    schema=[Field(name="rating", dtype=Float32)],
    source=FileSource(name="trips", path="trips.parquet", timestamp_field="at"),
)
"""


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    Path("feature_store.yaml").write_text(STORE)
    Path("features.py").write_text(FEATURES)
    trips = pd.DataFrame({"driver_id": [1], "rating": [0.5], "at": [pd.Timestamp("2026-01-01")]})
    trips.to_parquet("trips.parquet")
    store = FeatureStore(".")

    def work() -> None:
        command("feast", "apply")
        [view] = store.list_feature_views()
        assert view.name == "trips"
        assert store.get_entity("driver").join_key == "driver_id"

    yield work


if __name__ == "__main__":
    run(program)
