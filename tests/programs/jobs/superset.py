# /// script
# requires-python = ">=3.11"
# dependencies = ["uv>=0.9", "psycopg2-binary"]
#
# [tool.program]
# title = "Apache Superset"
# url = "https://superset.apache.org"
# group = "Data"
# packages = ["apache-superset"]
# drivers = ["postgresql+psycopg2"]
# works = false
# limits = '''
# Superset requires `SQLAlchemy<2`, the plugin `SQLAlchemy>=2`: no environment has both. In
# `superset_config.py` a listener with boto3 signs a token for each connect, without the plugin's
# cache and renewal:
#
# ```python
# import boto3
# from sqlalchemy import event
# from sqlalchemy.engine import Engine
#
# SQLALCHEMY_DATABASE_URI = (
#     "postgresql+psycopg2://app@mydb.abc123.eu-central-1.rds.amazonaws.com:5432/app"
#     "?sslmode=verify-full&sslrootcert=/etc/ssl/certs/rds-global-bundle.pem"
# )
# rds = boto3.client("rds", region_name="eu-central-1")
#
#
# @event.listens_for(Engine, "do_connect")
# def add_token(dialect, record, arguments, parameters):
#     if str(parameters.get("host")).endswith(".rds.amazonaws.com"):
#         parameters["password"] = rds.generate_db_auth_token(
#             parameters["host"], 5432, parameters["user"]
#         )
# ```
# '''
# ///
"""The resolver finds no versions; what to do instead is run with SQLAlchemy 1.4."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

from job import command, report, run, url

# The newest Superset is wanted: without a floor the resolver goes back to releases of 2021.
SUPERSET = "apache-superset>=6"
QUERY = """
from sqlalchemy import __version__, create_engine, text
from superset_config import SQLALCHEMY_DATABASE_URI

engine = create_engine(SQLALCHEMY_DATABASE_URI)
with engine.connect() as connection:
    assert connection.execute(text("SELECT current_user")).scalar() == "app"
engine.dispose()
print("SQLAlchemy", __version__)
"""


@contextmanager
def program() -> Iterator[Callable[[], None]]:
    refused = ""
    try:
        compiled(SUPERSET, "SQLAlchemy>=2")
    except RuntimeError as error:
        refused = str(error)
    pin = re.search(r"depends\s+on\s+sqlalchemy([\d.<>=,]+<2)\b", refused)
    assert pin, refused or f"{SUPERSET} is installed with SQLAlchemy 2: it should be run"
    found = re.search(r"(?m)^apache-superset==(\S+)", compiled(SUPERSET, options=["--no-deps"]))
    assert found
    report(packages={"apache-superset": found[1]})
    Path("superset_config.py").write_text(config())
    Path("query.py").write_text(QUERY)
    command("uv", "venv", "--quiet", "instead")
    wanted = (f"SQLAlchemy{pin[1]}", "psycopg2-binary", "boto3")
    command("uv", "pip", "install", "--quiet", "--python", "instead/bin/python", *wanted)
    yield work


def compiled(*wanted: str, options: list[str] | None = None) -> str:
    words = ("uv", "pip", "compile", "--quiet", "--no-header", *(options or ()), "-")
    return command(*words, input="\n".join(wanted), seconds=300)


def config() -> str:
    """What `limits` says, with the address of the emulator."""
    text = Path(__file__).read_text(encoding="utf-8")
    [example] = re.findall(r"(?ms)^# ```python$\n(.*?)^# ```$", text)
    code = re.sub(r"(?m)^# ?", "", example)
    found = urlsplit(url("postgresql+psycopg2"))
    query = dict(parse_qsl(found.query))
    port, ca = found.port, quote(query["rds_iam_ca"], safe="")
    for old, new in (
        ("mydb.abc123.eu-central-1.rds.amazonaws.com:5432", f"{query['rds_iam_host']}:{port}"),
        ("?sslmode=", f"?hostaddr={found.hostname}&sslmode="),
        ("/etc/ssl/certs/rds-global-bundle.pem", ca),
        ("eu-central-1", os.environ["AWS_REGION"]),
    ):
        assert old in code
        code = code.replace(old, new)
    return code


def work() -> None:
    version = command("instead/bin/python", "query.py").split()[-1]
    assert version.startswith("1.4.")
    report(sqlalchemy=version)


if __name__ == "__main__":
    run(program)
