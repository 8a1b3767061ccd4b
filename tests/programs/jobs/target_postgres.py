# /// script
# requires-python = ">=3.11"
# dependencies = ["meltanolabs-target-postgres"]
#
# [tool.program]
# title = "Singer's target-postgres"
# url = "https://hub.meltano.com/loaders/target-postgres"
# group = "Data"
# packages = ["meltanolabs-target-postgres", "singer-sdk"]
# drivers = ["postgresql+psycopg"]
# write = '''
# The URL as `sqlalchemy_url` in the settings:
#
# ```json
# {"sqlalchemy_url": "postgresql+psycopg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam"}
# ```
# '''
# ///
"""A table loaded from a tap's messages, and merged with those of a second time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from job import command, run, url
from sqlalchemy import create_engine, text

SCHEMA = {"properties": {"id": {"type": "integer"}, "amount": {"type": "integer"}}}
MESSAGES = (
    {"type": "SCHEMA", "stream": "orders", "key_properties": ["id"], "schema": SCHEMA},
    {"type": "RECORD", "stream": "orders", "record": {"id": 1, "amount": 30}},
    {"type": "RECORD", "stream": "orders", "record": {"id": 2, "amount": 40}},
    {"type": "STATE", "value": {"orders": 2}},
)


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    settings = {"sqlalchemy_url": url(), "default_target_schema": "loaded"}
    Path("target.json").write_text(json.dumps(settings))
    yield work


def work() -> None:
    messages = "".join(json.dumps(each) + "\n" for each in MESSAGES)
    command("target-postgres", "--config", "target.json", input=messages)
    engine = create_engine(url())
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT sum(amount) FROM loaded.orders")) == 70
    engine.dispose()


if __name__ == "__main__":
    run(program)
