# /// script
# requires-python = ">=3.11"
# dependencies = ["great-expectations[postgresql]", "psycopg[binary]>=3.2"]
#
# [tool.program]
# title = "Great Expectations"
# url = "https://greatexpectations.io"
# group = "Data"
# packages = ["great-expectations"]
# drivers = ["postgresql+psycopg"]
# write = '''
# The URL as the connection string of a PostgreSQL data source, here from the environment, and
# `kwargs` for the engine:
#
# ```python
# context.data_sources.add_postgres(
#     "shop", connection_string="${DATABASE_URL}", kwargs={"pool_pre_ping": True}
# )
# ```
# '''
# env = { GX_ANALYTICS_ENABLED = "false" }
# ///
"""A suite of expectations, validated on a table by way of a data source that is kept in a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import great_expectations as gx
from job import run, url
from sqlalchemy import create_engine, text

os.environ["DATABASE_URL"] = url()


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    engine = create_engine(os.environ["DATABASE_URL"])
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE orders (id int, amount numeric)"))
        connection.execute(text("INSERT INTO orders VALUES (1, 30), (2, 40)"))
    engine.dispose()

    context = gx.get_context(mode="file")
    context.variables.progress_bars = {"globally": False}
    shop = context.data_sources.add_postgres(
        "shop", connection_string="${DATABASE_URL}", kwargs={"pool_pre_ping": True}
    )
    orders = shop.add_table_asset("orders", table_name="orders")
    suite = gx.ExpectationSuite(
        "orders",
        expectations=[
            gx.expectations.ExpectColumnValuesToNotBeNull(column="id"),
            gx.expectations.ExpectColumnSumToBeBetween(column="amount", min_value=70, max_value=70),
        ],
    )
    definition = gx.ValidationDefinition(
        name="orders",
        data=orders.add_batch_definition_whole_table("all"),
        suite=context.suites.add(suite),
    )
    context.validation_definitions.add(definition)
    assert "${DATABASE_URL}" in Path("gx/great_expectations.yml").read_text()
    validation = gx.get_context(mode="file").validation_definitions.get("orders")

    def work() -> None:
        result = validation.run()
        assert result.success, result
        assert result.statistics["evaluated_expectations"] == 2

    yield work


if __name__ == "__main__":
    run(program)
