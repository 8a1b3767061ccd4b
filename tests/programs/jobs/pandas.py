# /// script
# requires-python = ">=3.11"
# dependencies = ["pandas", "psycopg[binary]>=3.2"]
#
# [tool.program]
# title = "pandas"
# url = "https://pandas.pydata.org"
# group = "Data"
# packages = ["pandas"]
# drivers = ["postgresql+psycopg"]
# write = '''
# The URL where `read_sql` and `to_sql` take a connection, or an engine of your own, with
# `pool_pre_ping=True` if you keep it:
#
# ```python
# pd.read_sql("SELECT * FROM sales", "postgresql+psycopg://…?plugin=rds_iam")
# ```
# '''
# databases = ["app"]
# minutes = 3
# ///
"""Tables written and read, by the URL's text and by an engine."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pandas as pd
from job import run, url
from sqlalchemy import create_engine


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    engine = create_engine(url(), pool_pre_ping=True)
    sales = pd.DataFrame({"city": ["Bonn", "Ulm", "Bonn"], "amount": [3, 5, 4]})

    def work() -> None:
        sales.to_sql("sales", url(), index=False, if_exists="replace")
        for connectable in engine, url():
            assert pd.read_sql_table("sales", connectable).amount.sum() == 12
        query = "SELECT city, sum(amount) AS total FROM sales GROUP BY city ORDER BY city"
        assert pd.read_sql_query(query, engine).total.tolist() == [7, 5]
        parts = pd.read_sql("SELECT amount FROM sales", engine, chunksize=2)
        assert [len(part) for part in parts] == [2, 1]

    yield work
    engine.dispose()


if __name__ == "__main__":
    run(program)
