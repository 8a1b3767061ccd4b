# /// script
# requires-python = ">=3.11"
# dependencies = ["dask[dataframe]", "psycopg[binary]>=3.2"]
#
# [tool.program]
# title = "Dask"
# url = "https://docs.dask.org/en/stable/dataframe-sql.html"
# group = "Data"
# packages = ["dask", "pandas"]
# drivers = ["postgresql+psycopg"]
# write = '''
# The URL, as text, for `read_sql_table`, `read_sql_query` and `to_sql`. The worker that has a
# partition makes an engine of it. So workers need this package and AWS credentials, too.
#
# ```python
# url = "postgresql+psycopg://…?plugin=rds_iam"
# dd.read_sql_table("sales", url, index_col="id", npartitions=8)
# ```
#
# Each partition is one login: with many workers
# [divide the rate among them](rate-limits.md#in-many-processes).
# '''
# databases = ["app"]
# minutes = 4
# ///
"""A table in partitions, written and read by threads and by processes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dask
import dask.dataframe as dd
import pandas as pd
from job import run, url
from sqlalchemy import column, select, table


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    numbers = pd.DataFrame({"amount": range(100)}, index=pd.RangeIndex(100, name="id"))

    def work() -> None:
        written = dd.from_pandas(numbers, npartitions=4)
        written.to_sql("numbers", url(), if_exists="replace", parallel=True)
        for scheduler in "threads", "processes":
            with dask.config.set(scheduler=scheduler, num_workers=2):
                whole = dd.read_sql_table("numbers", url(), index_col="id", npartitions=4)
                assert whole.npartitions == 4
                assert whole.amount.sum().compute() == 4950
        few = select(column("id"), column("amount")).select_from(table("numbers"))
        few = few.where(column("id") < 10)
        assert len(dd.read_sql_query(few, url(), index_col="id", npartitions=2).compute()) == 10

    yield work


if __name__ == "__main__":
    run(program)
