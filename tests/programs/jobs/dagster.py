# /// script
# requires-python = ">=3.11"
# dependencies = ["dagster", "dagster-postgres", "dagster-webserver"]
#
# [tool.program]
# title = "Dagster"
# url = "https://dagster.io"
# group = "Orchestration"
# packages = ["dagster", "dagster-postgres"]
# drivers = ["postgresql+psycopg2"]
# minutes = 12
# write = '''
# The URL in `dagster.yaml`:
#
# ```yaml
# storage:
#   postgres:
#     postgres_url: postgresql+psycopg2://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam
# ```
#
# With `postgres_db` in place of the URL the plugin goes into `params`:
#
# ```yaml
# storage:
#   postgres:
#     postgres_db:
#       username: app
#       hostname: mydb.abc123.eu-central-1.rds.amazonaws.com
#       db_name: app
#       scheme: postgresql+psycopg2
#       params:
#         plugin: rds_iam
# ```
# '''
# limits = '''
# The driver is psycopg2, which dagster-postgres installs. Without it in the URL SQLAlchemy 2.1 takes
# psycopg, with which `dagster-webserver` closes each connection as soon as it has made it. The
# webserver keeps connections in a pool without `pool_pre_ping`: after a failover the first request
# fails, unless the connection is older than `--db-pool-recycle` (seconds; 3600 by default).
# `dagster-webserver --db-pool-recycle 0` makes a new connection each time; so it was run.
# '''
# ///
"""A job is run with the instance's storage in the database, and found by the webserver."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from job import command, free_port, get, post, run, serve, url

PORT = str(free_port())
ADDRESS = f"http://127.0.0.1:{PORT}"
JOB = """
import dagster

@dagster.op
def count() -> int:
    return 7

@dagster.op
def double(number: int) -> int:
    return 2 * number

@dagster.job
def notes():
    double(count())
"""


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    Path("notes.py").write_text(JOB)
    os.environ |= {
        "DAGSTER_HOME": home("by_parts", {"postgres_db": parts(url("postgresql+psycopg2"))}),
        "DAGSTER_DISABLE_TELEMETRY": "true",
    }
    command("dagster", "instance", "migrate", seconds=240)
    with serve(
        *("dagster-webserver", "--python-file", "notes.py", "--port", PORT),
        *("--db-pool-recycle", "0"),
        ready=lambda: get(f"{ADDRESS}/server_info"),
        seconds=240,
        env={"DAGSTER_HOME": home("by_url", {"postgres_url": url("postgresql+psycopg2")})},
    ):
        yield work


def home(name: str, postgres: dict[str, object]) -> str:
    found = Path(name).absolute()
    found.mkdir()
    # JSON is YAML.
    (found / "dagster.yaml").write_text(json.dumps({"storage": {"postgres": postgres}}))
    return str(found)


def parts(address: str) -> dict[str, object]:
    found = urlsplit(address)
    return {
        "scheme": found.scheme,
        "username": found.username,
        "hostname": found.hostname,
        "port": found.port,
        "db_name": found.path.removeprefix("/"),
        "params": dict(parse_qsl(found.query)),
    }


def work() -> None:
    before = runs()
    command("dagster", "job", "execute", "--python-file", "notes.py", "--job", "notes", seconds=240)
    assert runs() == [*before, "SUCCESS"]


def runs() -> list[str]:
    question = "{ runsOrError { ... on Runs { results { status } } } }"
    answer = json.loads(post(f"{ADDRESS}/graphql", {"query": question}))
    return [each["status"] for each in answer["data"]["runsOrError"]["results"]]


if __name__ == "__main__":
    run(program)
