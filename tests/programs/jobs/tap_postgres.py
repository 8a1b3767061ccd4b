# /// script
# requires-python = ">=3.11"
# dependencies = ["meltanolabs-tap-postgres", "psycopg[binary]>=3.2"]
#
# [tool.program]
# title = "Singer's tap-postgres"
# url = "https://hub.meltano.com/extractors/tap-postgres"
# group = "Data"
# packages = ["meltanolabs-tap-postgres", "singer-sdk"]
# drivers = ["postgresql+psycopg"]
# write = '''
# The URL as `sqlalchemy_url` in the settings. The tap insists on a password in it: the colon after the
# user is an empty one, and the plugin puts the token in its place.
#
# ```json
# {"sqlalchemy_url": "postgresql+psycopg://app:@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam"}
# ```
# '''
# limits = '''
# Log-based replication connects with psycopg2 itself, without the plugin; use full-table or
# incremental replication.
# '''
# ///
"""A table that is discovered, selected in the catalog, and read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from job import command, run, url
from sqlalchemy import create_engine, text

TAP = "tap-postgres --config tap.json"


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    engine = create_engine(url())
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE orders (id int PRIMARY KEY, amount int)"))
        connection.execute(text("INSERT INTO orders VALUES (1, 30), (2, 40)"))
    engine.dispose()

    settings = {"sqlalchemy_url": url().replace("//app@", "//app:@"), "filter_schemas": ["public"]}
    Path("tap.json").write_text(json.dumps(settings))
    command("bash", "-c", f"{TAP} --discover > discovered.json")
    catalog = json.loads(Path("discovered.json").read_text())
    [orders] = catalog["streams"]
    [of_stream] = [each for each in orders["metadata"] if not each["breadcrumb"]]
    of_stream["metadata"]["selected"] = True
    Path("catalog.json").write_text(json.dumps(catalog))
    yield work


def work() -> None:
    command("bash", "-c", f"{TAP} --catalog catalog.json > messages.jsonl")
    messages = [json.loads(line) for line in Path("messages.jsonl").read_text().splitlines()]
    amounts = [each["record"]["amount"] for each in messages if each["type"] == "RECORD"]
    assert amounts == [30, 40]


if __name__ == "__main__":
    run(program)
