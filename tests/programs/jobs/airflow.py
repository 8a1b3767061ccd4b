# /// script
# requires-python = ">=3.11"
# dependencies = ["apache-airflow>=3", "psycopg[binary]>=3.2", "asyncpg>=0.30"]
#
# [tool.program]
# title = "Apache Airflow"
# url = "https://airflow.apache.org"
# group = "Orchestration"
# packages = ["apache-airflow"]
# drivers = ["postgresql+psycopg", "postgresql+asyncpg"]
# minutes = 15
# write = '''
# The metadata database, for every component:
#
# ```sh
# export AIRFLOW__DATABASE__SQL_ALCHEMY_CONN='postgresql+psycopg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam'
# airflow db migrate
# ```
#
# For its async engine Airflow makes a URL with asyncpg from this one, the plugin included; one with
# another driver goes into `AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC`. In `airflow.cfg` a `%` is
# doubled. `sql_alchemy_pool_pre_ping` is on unless you turn it off.
# '''
# limits = '''
# The scheduler ends when a session that it uses is ended, as by a failover, and so may the DAG
# processor. Run them under what starts them again, such as Kubernetes, or systemd with
# `Restart=on-failure`.
# '''
# ///
"""Migration, scheduler, DAG processor, API server; a DAG is run until it has succeeded."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from job import command, free_port, get, post, run, serve, url, wait_for

API = f"http://127.0.0.1:{free_port()}"
DAG = """
from airflow.sdk import dag, task

@dag(schedule=None)
def notes():
    @task
    def count() -> int:
        return 7

    @task
    def double(number: int) -> int:
        return 2 * number

    double(count())

notes()
"""


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    home = Path("airflow").absolute()
    (home / "dags").mkdir(parents=True)
    (home / "dags" / "notes.py").write_text(DAG)
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url(),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{API}/execution/",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",  # the first request takes the longest
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
    }
    command("airflow", "db", "migrate", seconds=300)
    port = API.rpartition(":")[2]
    with ExitStack() as stack:
        stack.enter_context(serve("airflow", "api-server", "--port", port))
        for name in ("scheduler", "dag-processor"):
            # What systemd does with `Restart=on-failure`.
            restarted = f"until airflow {name}; do sleep 1; done"
            stack.enter_context(serve("sh", "-c", restarted))
        wait_for(lambda: get(f"{API}/api/v2/monitor/health"), 240)
        wait_for(lambda: request("/api/v2/dags/notes"), 240)
        yield work


def request(path: str, body: dict[str, object] | None = None, seconds: float = 30.0) -> str:
    token = json.loads(get(f"{API}/auth/token"))["access_token"]
    allowed = {"Authorization": f"Bearer {token}"}
    if body is None:
        return get(API + path, seconds, **allowed)
    return post(API + path, body, seconds, **allowed)


def work() -> None:
    started = json.loads(request("/api/v2/dags/notes/dagRuns", {"logical_date": None}))
    name = started["dag_run_id"].replace("+", "%2B")
    # The one part of the API that asks the database by the async engine, until the run has ended.
    path = f"/api/v2/dags/notes/dagRuns/{name}/wait?interval=1&result=double"
    waited = request(path, seconds=400)
    last = json.loads(waited.splitlines()[-1])
    assert last == {"state": "success", "results": {"double": 14}}, waited


if __name__ == "__main__":
    run(program)
