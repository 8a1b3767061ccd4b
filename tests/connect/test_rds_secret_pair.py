"""A writer and a reader of which one logs in with a token and the other with a secret."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from families import words_of
from pair_support import Pair
from rds_secret_support import USER
from sqlalchemy import URL, make_url

from sqlalchemy_rds_iam import ConfigError, engine_pair
from sqlalchemy_rds_iam._routing.inheritance import complete
from sqlalchemy_rds_iam._routing.settings import from_environ
from sqlalchemy_rds_iam.testing import RdsEmulator, Secret

IAM = "postgresql+psycopg://app@db.abc123.us-east-1.rds.amazonaws.com/app?plugin=rds_iam"
SECRET = "postgresql+psycopg://?plugin=rds_secret&rds_secret_id=prod/app"


@pytest.fixture
def secret_url(rds: RdsEmulator, secret: Secret, pair_world: tuple[str, bool]) -> URL:
    """A URL that says nothing but which secret."""
    query = {
        "plugin": "rds_secret",
        "rds_secret_id": secret.arn,
        "rds_secret_host": rds.endpoint.host,
        "rds_secret_ca": str(rds.ca_file),
    }
    return URL.create(pair_world[0], query=query)


@pytest.mark.parametrize("writes_by", ["token", "secret"])
def test_a_mixed_pair(
    pairs: Callable[..., Pair],
    pair_world: tuple[str, bool],
    rds: RdsEmulator,
    secret: Secret,
    secret_url: URL,
    writes_by: str,
) -> None:
    """Each engine logs in in its own way, as its own user."""
    # The secret's database is another one than the writer's, and so is the user.
    secret_url = secret_url.set(database=words_of(secret_url.drivername).home)
    urls = [rds.url(pair_world[0]), secret_url]
    users = ["app", USER]
    if writes_by == "secret":
        urls.reverse()
        users.reverse()
    pair = pairs(*urls)
    assert pair.user(pair.writer) == users[0]
    assert pair.user(pair.reader) == users[1]
    assert {decision.method for decision in rds.decisions} == {"iam", "password"}


def test_two_secrets(pairs: Callable[..., Pair], rds: RdsEmulator, secret_url: URL) -> None:
    """A reader with a secret of its own is that secret's user, at that secret's server."""
    other = rds.secrets.create("prod/reader", "reading")
    own = URL.create(secret_url.drivername, query={"rds_secret_id": other.arn})
    pair = pairs(secret_url, own, reader_options={"rds_secret_host": rds.endpoint.host})
    assert pair.user(pair.writer) == USER
    assert pair.user(pair.reader) == "reading"


def test_an_ini_file(
    pairs: Callable[..., Pair],
    pair_world: tuple[str, bool],
    rds: RdsEmulator,
    secret: Secret,
    secret_url: URL,
) -> None:
    """The same from an ini file's section, options and all."""
    section = {
        "sqlalchemy.writer.url": rds.url(pair_world[0]).render_as_string(),
        "sqlalchemy.reader.url": f"{pair_world[0]}:///{words_of(pair_world[0]).home}?plugin=rds_secret",
        "sqlalchemy.reader.rds_secret_id": secret.name,
        "sqlalchemy.reader.rds_secret_region": rds.endpoint.region,
        "sqlalchemy.reader.rds_secret_host": rds.endpoint.host,
        "sqlalchemy.reader.rds_secret_ca": str(rds.ca_file),
    }
    pair = pairs(section)
    assert pair.user(pair.writer) == "app"
    assert pair.user(pair.reader) == USER


def test_variables(
    pairs: Callable[..., Pair], pair_world: tuple[str, bool], rds: RdsEmulator, secret: Secret
) -> None:
    """The same from variables, of which one alone says that there is a secret."""
    environ = {
        "RDS_IAM_URL": rds.url(pair_world[0]).render_as_string(),
        "RDS_IAM_READER_DATABASE": words_of(pair_world[0]).home,
        "RDS_IAM_READER_SECRET_ID": secret.name,
        "RDS_IAM_READER_SECRET_REGION": rds.endpoint.region,
        "RDS_IAM_READER_SECRET_HOST": rds.endpoint.host,
        "RDS_IAM_READER_SECRET_CA": str(rds.ca_file),
    }
    pair = pairs(environ=environ)
    assert pair.user(pair.writer) == "app"
    assert pair.user(pair.reader) == USER


def _completed(writer: str, reader: str) -> URL:
    return complete(make_url(writer), make_url(reader))


def test_what_is_inherited() -> None:
    """A plugin's options stay with the plugin; who and where is the secret's to say."""
    found = _completed(f"{IAM}&rds_iam_ca=/x&rds_iam_region=us-east-1&connect_timeout=3", SECRET)
    assert (found.username, found.host, found.database) == (None, None, "app")
    assert set(found.query) == {"plugin", "rds_secret_id", "connect_timeout"}
    found = _completed(f"{SECRET}&rds_secret_ca=/x", IAM)
    assert (found.username, found.query) == ("app", {"plugin": "rds_iam"})
    # The same secret at another server, as of a cluster's reader endpoint.
    found = _completed(f"{SECRET}&rds_secret_ca=/x", "postgresql+psycopg://other/")
    assert found.host == "other"
    assert found.query["rds_secret_id"] == "prod/app"
    found = _completed(f"{SECRET}&rds_secret_host=a", "postgresql+psycopg://other/")
    assert "rds_secret_host" not in found.query


def test_from_the_environment() -> None:
    """A variable with the URL of a secret's engine is fine, and gets no second plugin."""
    settings = from_environ({"RDS_IAM_URL": SECRET, "RDS_IAM_READER_URL": IAM})
    assert settings.writer["url"].query["plugin"] == "rds_secret"
    assert settings.reader["url"].query["plugin"] == "rds_iam"


def test_options_without_the_plugin() -> None:
    """Options of a plugin that is not named are refused, and the error says for which engine."""
    with pytest.raises(
        ConfigError, match=r"writer: rds_secret_id without the plugin: add \?plugin"
    ):
        engine_pair("postgresql+psycopg://h/d?rds_secret_id=x")
