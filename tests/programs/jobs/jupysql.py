# /// script
# requires-python = ">=3.11"
# dependencies = ["jupysql", "ipython", "pandas", "psycopg[binary]>=3.2"]
#
# [tool.program]
# title = "JupySQL"
# url = "https://jupysql.ploomber.io/en/latest/connecting.html"
# group = "Notebooks"
# packages = ["jupysql"]
# drivers = ["postgresql+psycopg"]
# write = '''
# The URL, in a cell of its own, or an engine of yours:
#
# ```text
# %load_ext sql
# %sql postgresql+psycopg://…?plugin=rds_iam
# ```
#
# JupySQL shows the URL at each query. It holds no password.
# '''
# limits = '''
# A notebook keeps one connection. Where that was lost, the next cell fails. Run the cell again:
# JupySQL says that it has rolled back, and makes a new connection.
# '''
# databases = ["app"]
# minutes = 3
# ///
"""Cells with queries, of a line and of several."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from job import run, url


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "sql")
    shell.run_line_magic("config", "SqlMagic.autopandas = True")
    shell.run_line_magic("sql", url())
    shell.run_cell_magic("sql", "", "CREATE TABLE sales AS SELECT 'Ulm' AS city, 5 AS amount")

    def sum_up() -> int:
        query = "SELECT city, sum(amount) AS total\nFROM sales GROUP BY city"
        return int(shell.run_cell_magic("sql", "", query).total.sum())

    def work() -> None:
        try:
            total = sum_up()
        except UsageError as error:  # once, after the sessions were killed: see `limits`
            if "terminating connection" not in str(error):
                raise
            total = sum_up()
        assert total == 5

    yield work


if __name__ == "__main__":
    run(program)
