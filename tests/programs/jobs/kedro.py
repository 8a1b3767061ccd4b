# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "kedro", "kedro-datasets[pandas-sqltabledataset,pandas-sqlquerydataset]",
#     "psycopg[binary]>=3.2",
# ]
#
# [tool.program]
# title = "Kedro"
# url = "https://docs.kedro.org"
# group = "Orchestration"
# packages = ["kedro", "kedro-datasets"]
# drivers = ["postgresql+psycopg"]
# env = { DO_NOT_TRACK = "1" }
# write = '''
# The URL in `conf/local/credentials.yml`, for `pandas.SQLTableDataset` and
# `pandas.SQLQueryDataset`; what stands beside it are arguments of the engine:
#
# ```yaml
# database:
#   con: postgresql+psycopg://…?plugin=rds_iam
#   pool_pre_ping: true
# ```
# '''
# databases = ["app"]
# minutes = 4
# ///
"""A pipeline whose catalog has a table and a query."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pandas as pd
from job import run, url
from kedro.io import DataCatalog
from kedro.pipeline import node, pipeline
from kedro.runner import SequentialRunner

CATALOG = {
    "sales": {
        "type": "pandas.SQLTableDataset",
        "table_name": "sales",
        "credentials": "database",
        "save_args": {"if_exists": "replace"},
    },
    "totals": {
        "type": "pandas.SQLQueryDataset",
        "sql": "SELECT city, sum(amount) AS total FROM sales GROUP BY city ORDER BY city",
        "credentials": "database",
    },
}


def sell() -> pd.DataFrame:
    return pd.DataFrame({"city": ["Bonn", "Ulm", "Bonn"], "amount": [3, 5, 4]})


def count(sales: pd.DataFrame) -> int:
    return len(sales)


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    credentials = {"database": {"con": url(), "pool_pre_ping": True}}
    catalog = DataCatalog.from_config(CATALOG, credentials)
    steps = pipeline([node(sell, None, "sales"), node(count, "sales", "number")])

    def work() -> None:
        found = SequentialRunner().run(steps, catalog)
        assert found["number"].load() == 3
        assert catalog["totals"].load().total.tolist() == [7, 5]

    yield work


if __name__ == "__main__":
    run(program)
