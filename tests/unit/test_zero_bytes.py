"""A zero byte ends a text in C and in PostgreSQL's protocol: it is refused by a sentence."""

from __future__ import annotations

from typing import Any

import pytest
from cli_support import shown
from sqlalchemy import create_engine, make_url
from sqlalchemy.ext.asyncio import create_async_engine
from worlds import EVERY, needs_query, on

from sqlalchemy_rds_iam import ConfigError

HOST = "db.abc123.us-east-1.rds.amazonaws.com"
# SQLAlchemy 2.0 leaves a database as it stands in the URL, so that there is no zero byte in it.
DECODED = "\0" in str(make_url("postgresql://host/app%00x").database)
URLS = [
    f"app@db\0{HOST}/app?",
    f"app%00@{HOST}/app?",
    *([f"app@{HOST}/app%00x?"] if DECODED else []),
    f"app@{HOST}/app?application_name=%00",
    f"app@{HOST}/app?na%00me=x",
    f"app@{HOST}/app?rds_iam_ca=/tmp/%00",
    f"app@{HOST}/app?rds_iam_profile=a%00b",
    f"app@{HOST}/app?rds_iam_host=a%00b",
    "app@a\0b/app?rds_iam_resolve_cname=on",
]


@pytest.mark.parametrize("url", URLS)
@on(*EVERY)
def test_in_a_url(world: tuple[str, bool], url: str, ca: str) -> None:
    """Of host, user, database, a word of the driver's and one of ours."""
    needs_query(world[0])
    create = create_async_engine if world[1] else create_engine
    with pytest.raises(ConfigError, match="there is a zero byte"):
        create(f"{world[0]}://{url}&plugin=rds_iam")


@pytest.mark.parametrize("plugin", ["rds_iam", "rds_secret"])
@pytest.mark.parametrize(
    "given", [{"user": "a\0"}, {"application_name": b"\0"}, {"server_settings": {"x": "\0"}}]
)
def test_in_connect_args(plugin: str, given: dict[str, Any], ca: str) -> None:
    """Of what they say, and of settings among them."""
    url = f"postgresql+psycopg://app@{HOST}/app?plugin={plugin}"
    options = (
        {} if plugin == "rds_iam" else {"rds_secret_id": "x", "rds_secret_region": "us-east-1"}
    )
    with pytest.raises(ConfigError, match="there is a zero byte"):
        create_engine(url, connect_args=given, **options)


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("command", ["token", "exec", "policy", "grant", "bench"])
def test_on_the_command_line(command: str, url: str, ca: str) -> None:
    """It is called wrongly."""
    rest = ["--", "true"] if command == "exec" else []
    found = shown(command, f"postgresql://{url}", *rest)
    assert found.code == 2
    assert "there is a zero byte" in found.err
