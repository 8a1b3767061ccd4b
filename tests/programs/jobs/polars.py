# /// script
# requires-python = ">=3.11"
# dependencies = ["polars[sqlalchemy]", "pyarrow", "psycopg[binary]>=3.2", "connectorx"]
#
# [tool.program]
# title = "Polars"
# url = "https://docs.pola.rs/user-guide/io/database/"
# group = "Data"
# packages = ["polars"]
# drivers = ["postgresql+psycopg"]
# write = '''
# An engine, in place of a URL:
#
# ```python
# import polars as pl
# from sqlalchemy import create_engine
#
# engine = create_engine(
#     "postgresql+psycopg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam",
#     pool_pre_ping=True,
# )
# orders = pl.read_database("SELECT * FROM orders", engine)
# orders.write_database("copies", engine, if_table_exists="replace")
# ```
# '''
# limits = '''
# `read_database_uri()` reads with connectorx or ADBC, which open connections of their own and refuse
# the URL; use `read_database()` with an engine.
# '''
# ///
"""A table that is written from a frame and read into one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import polars as pl
from job import run, url
from sqlalchemy import create_engine


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    engine = create_engine(url(), pool_pre_ping=True)
    sales = pl.DataFrame({"city": ["Bonn", "Ulm"], "amount": [3, 4]})

    def work() -> None:
        sales.write_database("sales", engine, if_table_exists="replace")
        read = pl.read_database("SELECT * FROM sales ORDER BY city", engine)
        assert read.equals(sales)
        try:
            pl.read_database_uri("SELECT * FROM sales", url("postgresql"), engine="connectorx")
        except RuntimeError as error:
            if "unknown option `plugin`" not in str(error):
                raise
        else:
            raise AssertionError("connectorx takes the URL: say so in `limits`")

    yield work
    engine.dispose()


if __name__ == "__main__":
    run(program)
