# /// script
# requires-python = ">=3.11"
# dependencies = ["meltano", "psycopg[binary]>=3.2"]
#
# [tool.program]
# title = "Meltano"
# url = "https://docs.meltano.com/concepts/project/#system-database"
# group = "Data"
# packages = ["meltano"]
# drivers = ["postgresql+psycopg"]
# write = '''
# The URL as that of the system database, which keeps the state of pipelines, in `meltano.yml`:
#
# ```yaml
# database_uri: postgresql+psycopg://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app?plugin=rds_iam
# ```
#
# or in the variable `MELTANO_DATABASE_URI`.
# '''
# env = { MELTANO_SEND_ANONYMOUS_USAGE_STATS = "false" }
# ///
"""A project whose system database is migrated, and keeps the state of a pipeline."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from job import command, run, url

STATE = {"singer_state": {"bookmarks": {"orders": 2}}}


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    command("meltano", "init", "shop")
    os.chdir("shop")
    with Path("meltano.yml").open("a") as settings:
        settings.write(f"database_uri: {json.dumps(url())}\n")
    yield work


def work() -> None:
    command("meltano", "state", "set", "--force", "dev:orders", json.dumps(STATE))
    assert "dev:orders" in command("meltano", "state", "list")
    assert '"orders"' in command("meltano", "state", "get", "dev:orders")


if __name__ == "__main__":
    run(program)
