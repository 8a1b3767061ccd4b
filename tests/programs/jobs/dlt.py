# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "dlt[sqlalchemy]", "pandas", "pyarrow", "connectorx", "psycopg[binary]>=3.2",
# ]
#
# [tool.program]
# title = "dlt"
# url = "https://dlthub.com/docs"
# group = "Data"
# packages = ["dlt"]
# drivers = ["postgresql+psycopg"]
# databases = ["app", "other"]
# write = '''
# The URL as the credentials of the source `sql_database` and of the destination `sqlalchemy`, in
# `.dlt/secrets.toml`:
#
# ```toml
# [sources.sql_database]
# credentials = "postgresql+psycopg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/shop?plugin=rds_iam"
#
# [destination.sqlalchemy]
# credentials = "postgresql+psycopg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/copies?plugin=rds_iam"
# ```
#
# The source's backends `sqlalchemy`, `pyarrow` and `pandas` read through SQLAlchemy.
# '''
# limits = '''
# The backend `connectorx` opens connections of its own and refuses the URL (``unknown option
# `plugin` ``); use `pyarrow`. The destination `postgres` connects with psycopg2 itself, without the
# plugin; use `sqlalchemy`.
# '''
# env = { RUNTIME__DLTHUB_TELEMETRY = "false", DLT_DATA_DIR = "." }
# ///
"""A table copied from one database into another, with each backend that goes through SQLAlchemy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dlt
from dlt.pipeline.exceptions import PipelineStepFailed
from dlt.sources.sql_database import sql_database
from job import run, url
from sqlalchemy import create_engine, text

SECRETS = f"""
[sources.sql_database]
credentials = {json.dumps(url())}

[destination.sqlalchemy]
credentials = {json.dumps(url(database="other"))}
"""


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    Path(".dlt").mkdir()
    Path(".dlt/secrets.toml").write_text(SECRETS)
    engine = create_engine(url())
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE orders (id int PRIMARY KEY, amount int)"))
        connection.execute(text("INSERT INTO orders VALUES (1, 30), (2, 40)"))
    engine.dispose()
    yield work


def work() -> None:
    for backend in ("sqlalchemy", "pyarrow", "pandas"):
        pipeline = copy(backend)
        with pipeline.sql_client() as client:
            assert client.execute_sql(f"SELECT sum(amount) FROM {backend}.orders") == [(70,)]
    try:
        copy("connectorx")
    except PipelineStepFailed as error:
        if "unknown option `plugin`" not in str(error):
            raise
    else:
        raise AssertionError("connectorx takes the URL: say so in `limits`")


def copy(backend: str) -> dlt.Pipeline:
    pipeline = dlt.pipeline(backend, destination="sqlalchemy", dataset_name=backend)
    source = sql_database(backend=backend, table_names=["orders"])
    pipeline.run(source, write_disposition="replace")
    return pipeline


if __name__ == "__main__":
    run(program)
