# /// script
# requires-python = ">=3.11"
# dependencies = ["meltanolabs-target-postgres", "meltanolabs-tap-postgres"]
#
# [tool.program]
# title = "Singer"
# url = "https://sdk.meltano.com"
# group = "Data"
# packages = ["meltanolabs-target-postgres", "meltanolabs-tap-postgres", "singer-sdk"]
# drivers = ["postgresql+psycopg"]
# databases = ["app", "other"]
# write = '''
# The URL as `sqlalchemy_url`, a setting that connectors made with Singer's SDK have, here
# target-postgres and tap-postgres:
#
# ```json
# {"sqlalchemy_url": "postgresql+psycopg://app:@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam"}
# ```
#
# tap-postgres insists on a password in the URL: the colon after the user is an empty one, which the
# plugin replaces with the token.
# '''
# limits = '''
# Log-based replication of tap-postgres connects with psycopg2 itself, without the plugin; use
# full-table or incremental replication.
# '''
# ///
"""A table that a tap reads from one database and a target writes into another."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from job import command, run, url
from sqlalchemy import create_engine, text

DISCOVER = "tap-postgres --config tap.json --discover > catalog.json"
COPY = """
set -o pipefail
tap-postgres --config tap.json --catalog catalog.json | target-postgres --config target.json
"""


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    tap = {"sqlalchemy_url": url().replace("//app@", "//app:@"), "filter_schemas": ["public"]}
    Path("tap.json").write_text(json.dumps(tap))
    target = {"sqlalchemy_url": url(database="other"), "default_target_schema": "copied"}
    Path("target.json").write_text(json.dumps(target))
    engine = create_engine(url())
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE orders (id int PRIMARY KEY, amount int)"))
        connection.execute(text("INSERT INTO orders VALUES (1, 30), (2, 40)"))
    engine.dispose()
    command("bash", "-c", DISCOVER)
    catalog = json.loads(Path("catalog.json").read_text())
    for stream in catalog["streams"]:
        [of_stream] = [each for each in stream["metadata"] if not each["breadcrumb"]]
        of_stream["metadata"]["selected"] = True
    Path("catalog.json").write_text(json.dumps(catalog))
    yield work


def work() -> None:
    command("bash", "-c", COPY)
    engine = create_engine(url(database="other"))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT sum(amount) FROM copied.orders")) == 70
    engine.dispose()


if __name__ == "__main__":
    run(program)
