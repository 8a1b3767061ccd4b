"""`rds-iam grant`: SQL that does what it says, whatever users are called."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from cli_support import HOST, shown
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import URL

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._databases.postgresql_grants import grants
from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam.testing import RdsEmulator


def _url(user: str, database: str | None = "app", host: str = HOST) -> str:
    url = URL.create("postgresql+psycopg", user, None, host, None, database)
    return url.render_as_string()


@pytest.fixture
def clean(rds: RdsEmulator) -> Iterator[RdsEmulator]:
    """The emulator, from which users made by the test are removed."""
    before = {name for (name,) in rds.execute("select rolname from pg_roles")}
    yield rds
    for (name,) in rds.execute("select rolname from pg_roles"):
        if name not in before:
            quoted = '"' + str(name).replace('"', '""') + '"'
            rds.execute(f"drop owned by {quoted}; drop role {quoted}", "app")


NAMES = st.text(
    st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=15
).filter(lambda name: not name.startswith("pg_") and name not in {"public", "none", "app"})


@given(user=NAMES)
@example(user='a"b')
@example(user='x"; DROP ROLE app; --')
@example(user="line\nDROP ROLE app;")
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_name(clean: RdsEmulator, user: str) -> None:
    """The script makes exactly the user that was named, a member of rds_iam, and nothing more."""
    before = set(clean.execute("select rolname from pg_roles"))
    clean.execute(grants(user, "app", parse_host(HOST)).script(), "app")
    try:
        made = set(clean.execute("select rolname from pg_roles")) - before
        assert made == {(user,)}
        [member] = clean.execute(
            "select r.rolname, u.rolcanlogin from pg_auth_members m join pg_roles r on "
            "r.oid = m.roleid join pg_roles u on u.oid = m.member where u.oid = "
            "(select max(oid) from pg_roles)"
        )
        assert member == ("rds_iam", "t")
    finally:
        quoted = '"' + user.replace('"', '""') + '"'
        clean.execute(f"drop owned by {quoted}; drop role {quoted}", "app")


def test_it_lets_in(clean: RdsEmulator) -> None:
    """Who was granted that can log in by token, whatever the case of the name."""
    import psycopg

    clean.execute(shown("grant", _url("Reporting")).out, "app")
    token = shown("token", clean.url(user="Reporting").render_as_string()).out.strip()
    host, port = clean.address
    psycopg.connect(
        host=clean.endpoint.host,
        hostaddr=host,
        port=port,
        user="Reporting",
        dbname="app",
        password=token,
        sslmode="verify-full",
        sslrootcert=str(clean.ca_file),
    ).close()


def test_script() -> None:
    """What is printed is a script: comments, then statements, each ended."""
    found = shown("grant", _url("app"))
    assert (found.code, found.err) == (0, "")
    *notes, create, grant, connect = found.out.splitlines()
    assert all(line.startswith("-- ") for line in notes)
    assert (create, grant) == ('CREATE USER "app";', 'GRANT rds_iam TO "app";')
    assert connect == 'GRANT CONNECT ON DATABASE "app" TO "app";'
    assert "GRANT CONNECT" not in shown("grant", _url("app", None)).out


def test_json() -> None:
    """The same as data."""
    data = json.loads(shown("grant", "--json", _url("app", None)).out)
    assert data["user"] == "app"
    assert data["statements"] == ['CREATE USER "app"', 'GRANT rds_iam TO "app"']


@pytest.mark.parametrize(
    ("user", "host", "words"),
    [
        ("App", HOST, "capital letters: keep the quotes"),
        (
            "app",
            "orders.cluster-ro-abc123.eu-central-1.rds.amazonaws.com",
            "run this at the writer",
        ),
        ("app", "front.proxy-abc123.eu-central-1.rds.amazonaws.com", "do not grant rds_iam"),
    ],
)
def test_notes(user: str, host: str, words: str) -> None:
    """What is particular about a name or an endpoint is said where it applies, and only there."""
    assert words in shown("grant", _url(user, host=host)).out
    assert words not in shown("grant", _url("app")).out


def test_proxy() -> None:
    """Behind an RDS Proxy the role may shut the proxy out, so no statement grants it."""
    out = shown("grant", _url("app", host="front.proxy-abc123.eu-central-1.rds.amazonaws.com")).out
    assert not re.search(r"^GRANT rds_iam", out, re.MULTILINE)


@pytest.mark.parametrize("name", ["", "a\0b", "é" * 32])
def test_no_name(name: str) -> None:
    """What PostgreSQL could not call a user, or would cut short, is refused."""
    with pytest.raises(ConfigError, match="cannot be a name in PostgreSQL: expected 1 to 63 bytes"):
        grants(name, None, parse_host(HOST))
    assert shown("grant", _url("é" * 32)).code == 2
