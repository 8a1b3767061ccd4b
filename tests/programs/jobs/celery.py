# /// script
# requires-python = ">=3.11"
# dependencies = ["celery", "sqlalchemy", "psycopg[binary]>=3.2"]
#
# [tool.program]
# title = "Celery"
# url = "https://docs.celeryq.dev/en/stable/userguide/configuration.html#database-url-examples"
# group = "Workers"
# packages = ["celery"]
# drivers = ["postgresql+psycopg"]
# write = '''
# The URL with `db+` before it:
#
# ```python
# app.conf.result_backend = "db+postgresql+psycopg://…?plugin=rds_iam"
# ```
#
# Tasks with an engine of their own: [Gunicorn, uWSGI, Celery](gunicorn-celery.md#celery).
#
# A process that waits for a result has no pool: it logs in each time it looks, every half second.
# Where many wait, `result.get(interval=5)` spares logins.
# '''
# databases = ["app"]
# minutes = 4
# ///
"""Results of tasks in the database, of a prefork worker whose broker is a directory."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from celery import group
from job import run, serve, url

TASKS = """
import os
from celery import Celery

app = Celery("tasks", broker="filesystem://", backend="db+" + os.environ["RESULTS"])
app.conf.broker_transport_options = {"data_folder_in": "broker", "data_folder_out": "broker"}
app.conf.result_extended = True


@app.task
def add(x, y):
    return x + y


@app.task
def fail():
    raise LookupError("as it should")
"""


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    os.environ["RESULTS"] = url()
    Path("tasks.py").write_text(TASKS)
    Path("broker").mkdir()
    sys.path.insert(0, str(Path.cwd()))
    from tasks import add, fail

    def work() -> None:
        results = group(add.s(number, 1) for number in range(4)).apply_async()
        assert results.get(timeout=90) == [1, 2, 3, 4]
        failed = fail.delay()
        assert isinstance(failed.get(timeout=60, propagate=False), LookupError)
        assert failed.traceback.strip().endswith("as it should")

    with serve("celery", "-A", "tasks", "worker", "--concurrency=2", "--loglevel=INFO"):
        yield work


if __name__ == "__main__":
    run(program)
