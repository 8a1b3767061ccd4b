# /// script
# requires-python = ">=3.11"
# dependencies = ["sqlalchemy-utils", "psycopg[binary]>=3.2"]
#
# [tool.program]
# title = "SQLAlchemy-Utils"
# url = "https://sqlalchemy-utils.readthedocs.io/en/latest/database_helpers.html"
# group = "Migrations"
# packages = ["sqlalchemy-utils"]
# drivers = ["postgresql+psycopg"]
# write = '''
# The URL, or `engine.url` of an engine that you have:
#
# ```python
# if not database_exists("postgresql+psycopg://…?plugin=rds_iam"):
#     create_database("postgresql+psycopg://…?plugin=rds_iam")
# ```
#
# These functions also connect to the database `postgres`, as the same user. To create databases it
# needs the right: `ALTER USER app CREATEDB`.
# '''
# databases = ["app"]
# minutes = 3
# ///
"""Databases looked for, created and dropped, and a type of the package's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from job import run, url
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, insert, select
from sqlalchemy_utils import (
    UUIDType,
    create_database,
    database_exists,
    drop_database,
    get_columns,
)


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    engine = create_engine(url(), pool_pre_ping=True)
    metadata = MetaData()
    orders = Table("orders", metadata, Column("id", UUIDType, primary_key=True))
    orders.append_column(Column("amount", Integer))
    metadata.create_all(engine)
    assert list(get_columns(orders).keys()) == ["id", "amount"]

    def work() -> None:
        other = engine.url.set(database="other")
        assert database_exists(engine.url)
        assert not database_exists(other)
        create_database(other)
        assert database_exists(other)
        drop_database(other)
        assert not database_exists(url(database="other"))
        with engine.begin() as connection:
            connection.execute(insert(orders).values(id="6f8ad6ab-18b0-48b3-8d33-b6c5b2e5b3a1"))
            assert connection.scalars(select(orders.c.id)).one().version == 4
            connection.rollback()

    yield work
    engine.dispose()


if __name__ == "__main__":
    run(program)
