"""Passwords out of Secrets Manager: who, where and with what, in every driver's every world."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest
from families import Words
from patience import eventually
from rds_secret_support import USER, LogIn
from sqlalchemy import URL, create_engine, event

from sqlalchemy_rds_iam import ConfigError, SecretError
from sqlalchemy_rds_iam.testing import RdsEmulator, Secret


def test_everything_comes_from_the_secret(
    calls: Any, rds: RdsEmulator, log_in: LogIn, secret: Secret, words: Words
) -> None:
    """A URL with no user, host, port and database connects, and the secret is fetched once."""
    database = log_in(secret)
    assert calls() == 0
    for _ in range(3):
        assert database.scalar(words.who) == f"{USER}@{words.home}"
    assert calls() == 1
    assert rds.decisions[-1].method == "password"


def test_the_url_says_the_same(
    rds: RdsEmulator, log_in: LogIn, secret: Secret, place: dict[str, Any], words: Words
) -> None:
    """A URL that agrees with the secret is fine."""
    assert (
        log_in(secret, place=place | {"username": USER}).scalar(words.who) == f"{USER}@{words.home}"
    )


def test_a_managed_secret(
    rds: RdsEmulator, log_in: LogIn, place: dict[str, Any], words: Words
) -> None:
    """RDS's own secrets say who only; the URL says where."""
    managed = rds.secrets.create_managed("manager")
    assert managed.name.startswith("rds!")
    assert log_in(managed, place=place).scalar(words.who) == f"manager@{words.home}"


def test_a_plain_text(rds: RdsEmulator, log_in: LogIn, place: dict[str, Any], words: Words) -> None:
    """What is no JSON object is the password itself, whatever characters there are in it."""
    for number, password in enumerate(('s\u00fcß "%{} @/:#', "12345", '"quoted"', "[1]")):
        rds.secrets.create(f"full-{number}", USER, password=password)
        rds.secrets.store(f"plain-{number}", password)
        database = log_in(f"plain-{number}", place=place | {"username": USER})
        assert database.scalar(words.who) == f"{USER}@{words.home}"


def test_keys_of_other_names(
    rds: RdsEmulator, log_in: LogIn, place: dict[str, Any], words: Words
) -> None:
    """User and password may be kept under names of one's own."""
    fields = rds.secrets.create("full", USER).fields()
    rds.secrets.store("own", {"who": USER, "pw": fields["password"], "username": "x", "other": {}})
    options = {"rds_secret_username_key": "who", "rds_secret_password_key": "pw"}
    assert log_in("own", options, place=place).scalar(words.who) == f"{USER}@{words.home}"


CONFLICTS: list[tuple[str, dict[str, Any], str]] = [
    ("user", {"username": "app"}, "user 'app' .* 'keeper': .*where users alternate"),
    ("host", {"host": "db.abc123.us-east-1.rds.amazonaws.com"}, "host 'db.abc123.* '127.0.0.[12]'"),
    ("port", {"port": 1}, "port 1 "),
    ("database", {"database": "app"}, "database 'app' .* '(postgres|test)'"),
]


@pytest.mark.parametrize(("name", "says", "message"), CONFLICTS, ids=[c[0] for c in CONFLICTS])
def test_a_conflict(
    log_in: LogIn, secret: Secret, name: str, says: dict[str, Any], message: str
) -> None:
    """The URL and the secret contradict each other: an error that names both and the way out."""
    # A tunnel's host and port are no contradiction.
    error = log_in(secret, {"rds_secret_host": None}, place=says).raises(ConfigError)
    assert re.search(message, str(error)), str(error)
    assert "rds_secret_conflict" in str(error)


def test_whose_word_counts(rds: RdsEmulator, log_in: LogIn, secret: Secret, words: Words) -> None:
    """The option decides a conflict, for the one or the other."""
    rds.secrets.create("other", USER, database="other_place")
    secret.set_password()
    place = {"database": "other_place"}
    for word, expected in (("url", "other_place"), ("secret", words.home)):
        database = log_in(secret, {"rds_secret_conflict": word}, place=place)
        assert database.scalar(words.who) == f"{USER}@{expected}"


def test_a_secret_of_another_engine(
    log_in: LogIn, secret: Secret, words: Words, world: tuple[str, bool]
) -> None:
    """What AWS calls its engine has to be of the same family, unless the URL is to count."""
    is_postgresql = world[0].startswith("postgresql")
    other = "mariadb" if is_postgresql else "postgres"
    secret.put({**secret.fields(), "engine": other})
    error = log_in(secret).raises(ConfigError)
    assert f"the secret {secret.name!r} is about {other!r} (its key 'engine')" in str(error)
    assert "rds_secret_conflict=url" in str(error)
    database = log_in(secret, {"rds_secret_conflict": "url"})
    assert database.scalar(words.who) == f"{USER}@{words.home}"


def test_the_urls_user_with_the_secrets_password(
    rds: RdsEmulator, log_in: LogIn, words: Words
) -> None:
    """With the URL's word the user is the URL's, and with the secret's the secret's."""
    fields = rds.secrets.create("full", USER).fields()
    rds.secrets.store("odd", {**fields, "username": "another"})
    place = {"username": USER}
    assert log_in("odd", {"rds_secret_conflict": "url"}, place=place).scalar(words.who)
    log_in("odd", {"rds_secret_conflict": "secret"}, place=place).raises(Exception)
    assert [decision.db_user for decision in rds.decisions][:2] == [USER, "another"]


def test_alternating_users(rds: RdsEmulator, log_in: LogIn) -> None:
    """The user's name changes with each rotation, without a restart; sessions go on."""
    secret = rds.secrets.create("prod/app", USER, strategy="alternating-users")
    database = log_in(secret, {"rds_secret_ttl": "0.001"})
    for user in (USER, f"{USER}_clone", USER):
        eventually(lambda user=user: database.scalar(database.words.user) == user)  # type: ignore[misc]
        secret.rotate()


def test_a_secret_that_moves(rds: RdsEmulator, log_in: LogIn, secret: Secret) -> None:
    """When the secret names another port, new connections go there."""
    right = secret.fields()
    secret.put(right | {"port": 1})
    database = log_in(secret, {"rds_secret_ttl": "0.001"})
    database.raises(Exception)
    secret.put(right)

    def is_there() -> bool:
        with contextlib.suppress(Exception):
            return bool(database.scalar("select 1"))
        return False

    eventually(is_there)


def test_versions(rds: RdsEmulator, log_in: LogIn, secret: Secret, words: Words) -> None:
    """A label, an id or Kong's numbers choose a version, and then no other is tried."""
    first = secret.stages["AWSCURRENT"]
    right = secret.fields()
    second = secret.put(right | {"password": "wrong"})
    for options in (
        {"rds_secret_version_stage": "AWSPREVIOUS"},
        {"rds_secret_version_id": first},
        {"rds_secret_id": f"{secret.name}#2"},
    ):
        assert log_in(secret, options).scalar(words.who) == f"{USER}@{words.home}"
    for options in ({"rds_secret_version_id": second},):
        error = log_in(secret, options).raises(Exception)
        assert second in error.__notes__[0]
        assert first not in error.__notes__[0]


def test_every_spelling(rds: RdsEmulator, log_in: LogIn, secret: Secret) -> None:
    """Name, ARN, partial ARN, each as Kong numbers them, too; the ARN says the region."""
    no_region = {"rds_secret_region": None}
    for spelling in (secret.name, secret.arn, secret.arn[:-7], f"{secret.arn}#1"):
        options = no_region if spelling.startswith("arn") else {}
        database = log_in(spelling, options)  # type: ignore[arg-type]
        assert database.scalar("select 1") == 1


def test_the_region_of_the_host(rds: RdsEmulator, secret: Secret) -> None:
    """Without any other word the secret is where the database is; without that, an error."""
    ca = {"rds_secret_ca": str(rds.ca_file)}
    query = {"plugin": "rds_secret", "rds_secret_id": secret.name, **ca}
    rds_host = "db.abc123.eu-west-1.rds.amazonaws.com"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            patch.delenv(name, raising=False)
        create_engine(URL.create("postgresql+psycopg", host=rds_host, query=query))
        with pytest.raises(ConfigError, match="no region for the secret"):
            create_engine(URL.create("postgresql+psycopg", query=query))


def test_what_is_shared(
    calls: Any, rds: RdsEmulator, log_in: LogIn, secret: Secret, words: Words
) -> None:
    """Engines of one secret share its fetch; another secret has its own."""
    rds.secrets.create("other", "other_keeper")
    for name, user in ((secret.name, USER), (secret.name, USER), ("other", "other_keeper")):
        assert log_in(name).scalar(words.user) == user
    assert calls() == 2


def test_a_storm_asks_once(calls: Any, rds: RdsEmulator, log_in: LogIn, secret: Secret) -> None:
    """However many connect at once at the very beginning, AWS is asked once."""
    database = log_in(secret)
    assert database.storm(20) == [1] * 20
    assert calls() == 1


def test_a_later_listener(log_in: LogIn, secret: Secret) -> None:
    """A listener that comes after ours gets complete arguments, and may connect itself."""
    database = log_in(secret)
    seen: list[dict[str, Any]] = []

    @event.listens_for(database.engine, "do_connect")
    def _spy(_dialect: Any, _record: Any, _cargs: Any, cparams: dict[str, Any]) -> None:
        seen.append(dict(cparams))

    database.scalar("select 1")
    driver = database.inside.driver
    assert seen[0][driver.user] == USER
    assert seen[0][driver.password] == secret.fields()["password"]
    assert secret.fields()["password"] not in repr(seen)


def test_neither_says_where(rds: RdsEmulator, log_in: LogIn, place: dict[str, Any]) -> None:
    """A host that neither the URL nor the secret names is an error, and so is a user."""
    fields = {"password": "x"}
    rds.secrets.store("bare", json.dumps(fields))
    assert "where the database is" in str(log_in("bare").raises(ConfigError))
    database = log_in("bare", place=place)
    assert "names a database user" in str(database.raises(ConfigError))


def test_the_engine_is_made_without_asking(calls: Any, rds: RdsEmulator, log_in: LogIn) -> None:
    """create_engine() asks no server, so a secret that does not exist is the connect's error."""
    database = log_in("nowhere")
    assert calls() == 0
    assert "does not exist" in str(database.raises(SecretError))


def test_json_of_other_makes(rds: RdsEmulator, log_in: LogIn, secret: Secret, words: Words) -> None:
    """White space before the JSON, a port as text and unknown keys do no harm."""
    fields = secret.fields()
    text = "\n  " + json.dumps(fields | {"port": str(fields["port"]), "x": [None, {}], "é": 1.5})
    rds.secrets.store("other", text)
    assert log_in("other").scalar(words.user) == USER


@pytest.mark.parametrize("end", ["\n", " ", "\r\n"])
def test_a_password_that_ends_in_white_space(
    rds: RdsEmulator, log_in: LogIn, place: dict[str, Any], end: str
) -> None:
    """It is tried, as it may be meant; where it is refused, the note says so."""
    password = "which-does-not-begin-like-JSON"
    rds.secrets.create("plain", "keeper", password=password)
    rds.secrets.store("file", password + end)
    place = place | {"username": "keeper"}
    error = log_in("file", place=place).raises(Exception)
    [note] = error.__notes__
    assert re.search(f"the password .*ends in {'a blank' if end == ' ' else 'a line feed'}", note)
    assert password not in note


def test_a_byte_order_mark(
    rds: RdsEmulator, log_in: LogIn, secret: Secret, place: dict[str, Any], words: Words
) -> None:
    """A secret that an editor has saved with a mark logs in, as JSON and as plain text."""
    rds.secrets.store("json", "\ufeff" + json.dumps(secret.fields()))
    assert log_in("json").scalar(words.user) == USER
    plain = "which-does-not-begin-like-JSON"
    rds.secrets.create("whole", USER, password=plain)
    rds.secrets.store("plain", "\ufeff" + plain)
    place = place | {"username": USER}
    assert log_in("plain", place=place).scalar(words.user) == USER
