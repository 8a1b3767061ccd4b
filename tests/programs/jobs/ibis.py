# /// script
# requires-python = ">=3.11"
# dependencies = ["ibis-framework[postgres]", "packaging", "sqlalchemy"]
#
# [tool.program]
# title = "Ibis"
# url = "https://ibis-project.org/backends/postgresql"
# group = "Data"
# packages = ["ibis-framework"]
# drivers = ["postgresql+psycopg"]
# write = '''
# Ibis connects with psycopg, not with SQLAlchemy. Give it a connection of an engine:
#
# ```python
# url = "postgresql+psycopg://…?plugin=rds_iam"
# engine = create_engine(url, isolation_level="AUTOCOMMIT")
# connection = engine.raw_connection()
# of_psycopg = connection.driver_connection
# connection.detach()  # from the pool: Ibis keeps it
# backend = ibis.postgres.from_connection(of_psycopg)
# ```
# '''
# limits = '''
# `ibis.connect()` does not know the plugin, and a backend made from a connection does not connect
# anew. Where the connection was lost, make another backend.
# '''
# databases = ["app"]
# minutes = 4
# ///
"""A table written, and summed up by the database, over a connection of an engine."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ibis
import pandas as pd
from ibis.backends import BaseBackend
from job import run, url
from sqlalchemy import create_engine


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    engine = create_engine(url(), isolation_level="AUTOCOMMIT")
    sales = pd.DataFrame({"city": ["Bonn", "Ulm", "Bonn"], "amount": [3, 5, 4]})

    def connect() -> BaseBackend:
        connection = engine.raw_connection()
        of_psycopg = connection.driver_connection
        connection.detach()
        return ibis.postgres.from_connection(of_psycopg)

    def work() -> None:
        backend, other = connect(), connect()
        table = backend.table("sales")
        totals = table.group_by("city").agg(total=table.amount.sum()).order_by("city")
        before = totals.execute().total.sum()
        backend.insert("sales", sales)
        # Another session sees it: Ibis has committed.
        assert other.table("sales").amount.sum().execute() == before + 12
        backend.disconnect()
        other.disconnect()

    backend = connect()
    backend.create_table("sales", sales)
    backend.disconnect()
    yield work
    engine.dispose()


if __name__ == "__main__":
    run(program)
