"""The SQL for a user of MySQL's: names cannot break out of it, and notes fit the endpoint."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._databases.mysql import MARIADB, MYSQL
from sqlalchemy_rds_iam._databases.mysql_grants import account, pattern
from sqlalchemy_rds_iam._endpoints.hostname import parse_database_host

INSTANCE = parse_database_host("db.abc123.us-east-1.rds.amazonaws.com")
READER = parse_database_host("c.cluster-ro-abc123.us-east-1.rds.amazonaws.com")
PROXY = parse_database_host("p.proxy-abc123.us-east-1.rds.amazonaws.com")
NAMES = st.text(
    st.characters(max_codepoint=0xFFFF, exclude_characters="\0", exclude_categories=("Cs",)),
    min_size=1,
    max_size=32,
).filter(lambda name: not name.endswith(" "))


def test_statements() -> None:
    """The account asks IAM, only over TLS, and may enter the database."""
    assert MYSQL.grants("app", "my_db", INSTANCE).statements == [
        "CREATE USER 'app'@'%' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS' REQUIRE SSL",
        r"GRANT SELECT ON `my\_db`.* TO 'app'@'%'",
    ]
    assert len(MYSQL.grants("app", None, INSTANCE).statements) == 1


@given(NAMES)
def test_a_user_in_sql(name: str) -> None:
    """The server reads the very name, whatever is in it."""
    text = account(name).removesuffix("@'%'")
    assert text[0] == text[-1] == "'"
    assert re.fullmatch(r"(?s:(?:[^'\\]|''|\\\\)*)", text[1:-1])
    assert re.sub(r"''|\\\\", lambda found: found[0][0], text[1:-1]) == name


@given(NAMES)
def test_a_database_in_sql(name: str) -> None:
    """Its name stands for itself alone, although it is a pattern."""
    text = pattern(name)
    assert text[0] == text[-1] == "`"
    inner = text[1:-1].replace("``", "`")
    assert text[1:-1].count("`") == 2 * name.count("`")
    assert not re.search(r"(?<!\\)(?:\\\\)*[_%]", inner)
    assert re.sub(r"\\([\\_%])", r"\1", inner) == name


def test_names_that_cannot_be() -> None:
    """A name is of 1 to 32 characters, or 128, that the server can keep."""
    for name in ("", "a" * 33, "a\0b", "\U0001f511", "a "):
        with pytest.raises(
            ConfigError, match="cannot be the name of a user here: expected 1 to 32"
        ):
            MYSQL.grants(name, None, INSTANCE)
    assert MARIADB.grants("a" * 128, None, INSTANCE)
    with pytest.raises(ConfigError, match="expected 1 to 128"):
        MARIADB.grants("a" * 129, None, INSTANCE)
    with pytest.raises(ConfigError, match="cannot be the name of a database"):
        MYSQL.grants("app", "d" * 65, INSTANCE)


def test_notes() -> None:
    """A reader is no place to run it, and at a proxy there may be another user to make."""
    assert "at the writer" in MYSQL.grants("app", None, READER).script()
    assert "IDENTIFIED BY" in MYSQL.grants("app", None, PROXY).script()
    script = MYSQL.grants("app", "app", INSTANCE).script()
    assert "writer" not in script
    assert "Proxy" not in script
    assert "rds_iam" not in script
    assert script.endswith(";")
