"""`rds-iam grant` for MySQL and MariaDB: SQL that does what it says, whatever users are called."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from cli_support import HOST, MYSQL_URL, clients_url, shown
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import URL

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._databases.mysql_grants import IDENTIFIED, grants
from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam.testing import RdsEmulator

PROXY = "front.proxy-abc123.eu-central-1.rds.amazonaws.com"
READER = "orders.cluster-ro-abc123.eu-central-1.rds.amazonaws.com"
USERS = "select hex(User) from mysql.user"


def _url(user: str, database: str | None = "app", host: str = HOST) -> str:
    return URL.create("mysql+pymysql", user, None, host, None, database).render_as_string()


@pytest.fixture
def clean(rds_iam_mysql_environment: RdsEmulator) -> Iterator[RdsEmulator]:
    """The emulator, from which users made by the test are removed."""
    rds = rds_iam_mysql_environment
    before = {tuple(row) for row in rds.execute(USERS)}
    yield rds
    for row in {tuple(row) for row in rds.execute(USERS)} - before:
        _drop(rds, *row)


def _drop(rds: RdsEmulator, encoded: Any) -> None:
    name = bytes.fromhex(encoded).decode().replace("`", "``")
    rds.execute(f"DROP USER `{name}`@'%'")


# utf8mb3, as names are kept, and what is a name at all.
NAMES = st.text(
    st.characters(exclude_characters="\0", max_codepoint=0xFFFF, codec="utf-8"),
    min_size=1,
    max_size=15,
).filter(lambda name: not name.endswith(" ") and name not in {"app", "root", "PUBLIC", "mysql"})


@pytest.mark.server
@given(user=NAMES, database=NAMES)
@example(user="o'brien", database="a`b")
@example(user="x'@'%'; DROP USER app; --", database="a_b%c")
@example(user="back\\slash\\'", database="d\\")
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_name(clean: RdsEmulator, user: str, database: str) -> None:
    """The script makes exactly the user that was named, over TLS only, for that one database."""
    before = set(clean.execute(USERS))
    made_of = grants(user, database, parse_host(HOST))
    for statement in made_of.statements:
        clean.execute(statement.replace(IDENTIFIED, "IDENTIFIED BY 'x'"))
    [made] = set(clean.execute(USERS)) - before
    try:
        assert made == (user.encode().hex().upper(),)
        mine = f"hex(User) = '{made[0]}'"
        assert clean.execute(f"select Host, ssl_type from mysql.user where {mine}") == [
            ("%", "ANY")
        ]
        [(where, select, insert)] = clean.execute(
            f"select hex(Db), Select_priv, Insert_priv from mysql.db where {mine}"
        )
        assert (select, insert) == ("Y", "N")
        escaped = re.sub(r"([\\_%])", r"\\\1", database)
        assert bytes.fromhex(where or "").decode().casefold() == escaped.casefold()
    finally:
        _drop(clean, *made)


@pytest.mark.server
def test_it_lets_in(clean: RdsEmulator) -> None:
    """Who was granted that can log in by token, whatever the case of the name."""
    pytest.importorskip("pymysql", reason="PyMySQL is not installed")
    url = clients_url(clean).replace("app@", "Reporting@")
    clean.execute(shown("grant", url).out)
    found = shown("bench", url, "--connects", "1", "--json")
    assert found.code == 0, found.err
    assert clean.decisions[-1].granted


def test_script() -> None:
    """What is printed is a script: comments, then statements, each ended."""
    found = shown("grant", MYSQL_URL)
    assert (found.code, found.err) == (0, "")
    *notes, create, select = found.out.splitlines()
    assert all(line.startswith("-- ") for line in notes)
    assert create == (
        "CREATE USER 'app'@'%' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS' REQUIRE SSL;"
    )
    assert select == "GRANT SELECT ON `app`.* TO 'app'@'%';"
    assert "GRANT SELECT" not in shown("grant", _url("app", None)).out


def test_json() -> None:
    """The same as data."""
    data = json.loads(shown("grant", "--json", _url("app", None)).out)
    assert data["user"] == "app"
    assert data["statements"] == [f"CREATE USER 'app'@'%' {IDENTIFIED} REQUIRE SSL"]


@pytest.mark.parametrize(
    ("host", "words"), [(READER, "run this at the writer"), (PROXY, "The endpoint is an RDS Proxy")]
)
def test_notes(host: str, words: str) -> None:
    """What is particular about an endpoint is said where it applies, and only there."""
    assert words in shown("grant", _url("app", host=host)).out
    assert words not in shown("grant", _url("app")).out


@pytest.mark.parametrize("name", ["", "a\0b", "a" * 33, "space ", "\U0001f418"])
def test_no_name(name: str) -> None:
    """What MySQL could not call a user, or would cut, is refused; MariaDB takes longer ones."""
    with pytest.raises(ConfigError, match="expected 1 to 32 characters"):
        grants(name, None, parse_host(HOST))
    assert shown("grant", _url("a" * 33)).code == 2
    longer = shown("grant", _url("a" * 33).replace("mysql+", "mariadb+"))
    assert longer.code == 0
    assert f"'{'a' * 33}'@'%'" in longer.out
