"""User names that are longer than a database keeps: refused for tokens, a warning for passwords."""

from __future__ import annotations

from typing import Any

import pytest
from families import Words
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from worlds import on

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._access import Access
from sqlalchemy_rds_iam._databases.postgresql_grants import LONGEST_NAME
from sqlalchemy_rds_iam._databases.user_names import kept, length
from sqlalchemy_rds_iam.testing import RdsEmulator

URL = make_url("postgresql+psycopg://db.abc123.us-east-1.rds.amazonaws.com/app?plugin=rds_iam")
LONG: list[tuple[str, str]] = [
    ("a" * 64, "a" * 63),
    ("a" * 62 + "ü", "a" * 62),
    ("ü" * 32, "ü" * 31),
    ("😀" * 20, "😀" * 15),
    ("a" * 300, "a" * 63),
]
FITS = ["a" * 63, "ü" * 31 + "a", "a" * 61 + "ü", "日" * 21]


@pytest.mark.parametrize(("name", "cut"), LONG)
def test_refused_for_tokens(ca: str, name: str, cut: str) -> None:
    """The error says how long it is, and what PostgreSQL would look for."""
    url = URL.set(username=name)
    for make in (create_engine, lambda url: Access(url).plan):
        with pytest.raises(ConfigError, match=f"has {len(name.encode())} bytes") as caught:
            make(url)
        assert f"keeps 63: it would look for {cut!r}," in str(caught.value)
    with pytest.raises(ConfigError, match="keeps 63"):
        create_engine(URL, connect_args={"user": name})
    create_engine(url, rds_iam_enabled=False)


@pytest.mark.parametrize("name", FITS)
def test_the_longest(rds: RdsEmulator, databases: Any, name: str) -> None:
    """A name of 63 bytes logs in."""
    rds.create_user(name)
    database = databases(rds.url(user=name), poolclass=NullPool)
    assert database.scalar("select current_user") == name


OF_MYSQL: list[tuple[str, str, int]] = [
    ("mysql+pymysql", "MySQL", 32),
    ("mysql+asyncmy", "MySQL", 32),
    ("mariadb+pymysql", "MariaDB", 128),
]


@pytest.mark.parametrize(("drivername", "title", "longest"), OF_MYSQL)
@pytest.mark.parametrize("letter", ["a", "ü", "😀"])
def test_refused_for_tokens_of_mysql(
    ca: str, drivername: str, title: str, longest: int, letter: str
) -> None:
    """The same, by characters, of which MariaDB takes more than MySQL."""
    host = "db.abc123.us-east-1.rds.amazonaws.com"
    url = make_url(f"{drivername}://{host}/app?plugin=rds_iam")
    long = letter * (longest + 1)
    make = create_async_engine if "asyncmy" in drivername else create_engine
    with pytest.raises(ConfigError, match=f"has {longest + 1} characters, and {title} keeps"):
        make(url.set(username=long))
    make(url.set(username=letter * longest))


@on("pymysql", "pymysql-mariadb", "mysqldb")
@pytest.mark.parametrize("letter", ["a", "ü"])
def test_the_longest_of_mysql(
    rds: RdsEmulator, world: tuple[str, bool], words: Words, databases: Any, letter: str
) -> None:
    """A name of as many characters as fit logs in."""
    name = letter * (128 if world[0].startswith("mariadb") else 32)
    rds.create_user(name)
    rds.execute(words.enter(name, "app"))
    database = databases(rds.url(world[0], user=name), poolclass=NullPool)
    assert database.scalar(words.user) == name


@settings(max_examples=50)
@given(name=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=80))
def test_as_postgresql_cuts(rds_emulator: RdsEmulator, name: str) -> None:
    """What is left of any name is what PostgreSQL itself leaves of it."""
    text = name.encode().hex()
    [row] = rds_emulator.execute(f"SELECT convert_from('\\x{text}', 'UTF8')::name", "app")
    assert row == (kept(name, LONGEST_NAME),)
    assert length(kept(name, LONGEST_NAME)) <= LONGEST_NAME


@pytest.mark.parametrize("place", ["url", "secret"])
@pytest.mark.parametrize("world", ["psycopg", "psycopg2", "asyncpg", "pg8000"], indirect=True)
def test_a_warning_for_passwords(log_in: Any, rds: RdsEmulator, caplog: Any, place: str) -> None:
    """Once, be it the URL or the secret that has the name; PostgreSQL lets the cut one in."""
    secret = rds.secrets.create("long", "b" * 63)
    fields = secret.fields()
    fields["username"] = "b" * 70
    if place == "url":
        del fields["username"]
    secret.put(fields)
    name = {"username": "b" * 70} if place == "url" else {}
    database = log_in("long", place=name)
    for _ in range(3):
        assert database.scalar("select current_user") == "b" * 63
    said = [record.getMessage() for record in caplog.records if "bytes" in record.getMessage()]
    long, cut = "b" * 70, "b" * 63
    text = f"the user name {long!r} has 70 bytes, and PostgreSQL keeps 63: it logs in as {cut!r}"
    assert said == [text]
