# /// script
# requires-python = ">=3.11"
# dependencies = ["gunicorn[gevent]", "psycogreen", "flask", "SQLAlchemy", "psycopg2-binary"]
#
# [tool.program]
# title = "Gunicorn with gevent"
# url = "https://gunicorn.org"
# group = "Web"
# packages = ["gunicorn", "gevent", "psycogreen"]
# drivers = ["postgresql+psycopg2"]
# write = '''
# In `gunicorn.conf.py` the worker class, and psycopg2 made to yield to other greenlets while it
# waits:
#
# ```python
# from psycogreen.gevent import patch_psycopg
#
# worker_class = "gevent"
#
#
# def post_fork(server, worker):
#     patch_psycopg()
# ```
#
# Gunicorn's worker patches everything else before it loads the application, which makes its engine
# as usual. With `preload_app` the engine has to be made in each worker instead, or its pool dropped
# there ([why](gunicorn-celery.md#gunicorn)).
# '''
# ///
"""An application whose two workers answer forty requests at once, each with a query that waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from job import free_port, get, run, serve, url

APP = """
import os
from flask import Flask
from sqlalchemy import create_engine, text

engine = create_engine(os.environ["DATABASE_URL"], pool_pre_ping=True, pool_size=20)
app = Flask(__name__)

@app.get("/ready")
def ready():
    return "yes"

@app.get("/")
def user():
    with engine.connect() as connection:
        return connection.scalar(text("SELECT current_user FROM pg_sleep(0.2)"))
"""

CONF = """
from psycogreen.gevent import patch_psycopg

worker_class = "gevent"
workers = 2

def post_fork(server, worker):
    patch_psycopg()
"""


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    Path("app.py").write_text(APP)
    Path("gunicorn.conf.py").write_text(CONF)
    port = free_port()
    address = f"http://127.0.0.1:{port}"

    def work() -> None:
        with ThreadPoolExecutor(40) as pool:
            assert {*pool.map(get, [address] * 40)} == {"app"}

    serving = ("gunicorn", "--bind", f"127.0.0.1:{port}", "app:app")
    env = {"DATABASE_URL": url("postgresql+psycopg2")}
    with serve(*serving, env=env, ready=lambda: get(f"{address}/ready")):
        yield work


if __name__ == "__main__":
    run(program)
