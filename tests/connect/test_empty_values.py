"""An empty value is one that is not given: variables that are not set arrive as empty texts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from cli_support import HOST, shown
from pair_support import RO, WRITER
from rds_secret_support import secret_url
from sqlalchemy import URL, create_engine, engine_from_config, make_url
from sqlalchemy.pool import NullPool

from sqlalchemy_rds_iam import ConfigError, engine_pair
from sqlalchemy_rds_iam._access import Access
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam.testing import RdsEmulator, Secret

GIVEN = f"postgresql+psycopg://app@{HOST}/app?plugin=rds_iam"
ROLE = "arn:aws:iam::123456789012:role/app"
BLANK = ["", " ", "\t\n"]

PASSWORDS: dict[str, tuple[Callable[[URL], URL], dict[str, Any]]] = {
    "user:@host": (lambda url: make_url(str(url).replace("app@", "app:@", 1)), {}),
    "URL.create": (lambda url: URL.create(**url._asdict() | {"password": ""}), {}),
    "query": (lambda url: url.update_query_dict({"password": ""}), {}),
    "query twice": (lambda url: url.update_query_dict({"password": ("", "")}), {}),
    "argument None": (lambda url: url, {"password": None}),
    "argument empty": (lambda url: url, {"password": ""}),
}


@pytest.mark.parametrize("way", PASSWORDS)
def test_an_empty_password(rds: RdsEmulator, world: Any, databases: Any, way: str) -> None:
    """It is none: with each driver a token arrives, and the URL can be used again."""
    drivername, is_async = world
    change, arguments = PASSWORDS[way]
    url = change(rds.url(drivername))
    database = databases(url, is_async=is_async, connect_args=arguments, poolclass=NullPool)
    assert database.scalar(database.words.user) == "app"
    assert database.engine.url == rds.url(drivername)
    again = databases(str(database.engine.url), is_async=is_async)
    assert again.scalar(again.words.user) == "app"


@pytest.mark.parametrize("way", PASSWORDS)
def test_an_empty_password_beside_a_secret(
    rds: RdsEmulator, secret: Secret, databases: Any, way: str
) -> None:
    """The same with the password of a secret."""
    change, arguments = PASSWORDS[way]
    url = secret_url(rds, secret, "postgresql+psycopg").set(username=secret.fields()["username"])
    url = change(url)
    assert databases(url, connect_args=arguments).scalar("select 1") == 1


@pytest.mark.parametrize(
    ("url", "arguments"),
    [
        (GIVEN.replace("app@", "app:canary@"), {}),
        (GIVEN.replace("app@", "app:%20@"), {}),
        (GIVEN + "&password=canary", {}),
        (GIVEN + "&password=canary&password=", {}),
        (GIVEN, {"password": "canary"}),
        (GIVEN, {"password": lambda: "canary"}),
    ],
)
def test_a_password(ca: str, url: str, arguments: dict[str, Any]) -> None:
    """One that is not empty is refused."""
    with pytest.raises(ConfigError, match="there is a password") as caught:
        create_engine(url, connect_args=arguments)
    assert "canary" not in str(caught.value)


def test_switched_off_leaves_it_to_the_driver() -> None:
    """Without the plugin, an empty password is the driver's affair."""
    arguments = {"password": None}
    engine = create_engine(
        GIVEN.replace("app@", "app:@"), rds_iam_enabled=False, connect_args=arguments
    )
    assert engine.url.password == ""
    assert arguments == {"password": None}


@pytest.mark.parametrize("kind", [IamOptions, SecretOptions], ids=["rds_iam", "rds_secret"])
@pytest.mark.parametrize("blank", [*BLANK, None, ("", " ")])
def test_every_option(kind: type[PluginOptions], blank: Any) -> None:
    """Each of them, in the URL or as a keyword, means its default."""
    given = {"rds_secret_id": "app"} if kind is SecretOptions else {}
    default = kind.take(given, {})
    for option in fields(kind):
        name = kind.named(option.name)
        if name in given:
            continue
        keywords = {name: blank}
        assert kind.take(given | {name: blank}, {}) == default
        if not isinstance(blank, tuple):
            assert kind.take(given, keywords) == default
            assert keywords == {}
    with pytest.raises(ConfigError, match="rds_secret_id is missing"):
        SecretOptions.take({"rds_secret_id": blank}, {})
    with pytest.raises(ConfigError, match="did you mean"):
        kind.take({kind.named("profil"): blank}, {})


@pytest.mark.parametrize("blank", [*BLANK, None])
def test_an_empty_keyword_wins_nothing(blank: str | None) -> None:
    """What the URL says stays in force."""
    assert IamOptions.take({"rds_iam_role_arn": ROLE}, {"rds_iam_role_arn": blank}).role_arn == ROLE


def test_options_of_the_other_plugin(ca: str) -> None:
    """They are refused unless they are empty, as where one file is for both."""
    for url, keywords in (
        (make_url(GIVEN).update_query_dict({"rds_secret_id": ""}), {}),
        (make_url(GIVEN), {"rds_secret_id": "", "rds_secret_role_arn": None}),
    ):
        assert create_engine(url, **keywords).url == make_url(GIVEN)
    with pytest.raises(ConfigError, match="rds_secret_id is an option of another plugin"):
        create_engine(GIVEN, rds_secret_id="x", rds_secret_role_arn="")


def test_one_of_several_is_not_empty() -> None:
    """A name that is there twice, and once with nothing, is given once."""
    assert IamOptions.take({"rds_iam_profile": ("", "x")}, {}).profile == "x"


def test_what_is_named(rds: RdsEmulator, databases: Any, caplog: Any) -> None:
    """One record names what would have chosen an identity or trust, once for each engine."""
    caplog.set_level(logging.INFO, "sqlalchemy_rds_iam")
    url = rds.url().update_query_dict({"rds_iam_role_arn": " ", "rds_iam_region": ""})
    database = databases(
        url, poolclass=NullPool, rds_iam_profile="", rds_iam_session=None, rds_iam_timeout=""
    )
    for _ in range(3):
        assert database.scalar("select 1") == 1
    said = [record for record in caplog.records if "not given" in record.getMessage()]
    assert [(record.levelname, record.getMessage()) for record in said] == [
        ("INFO", "rds_iam: empty, and so not given: rds_iam_profile, rds_iam_role_arn")
    ]
    caplog.clear()
    databases(rds.url(), rds_iam_ca="", rds_iam_timeout="")
    assert not [record for record in caplog.records if "not given" in record.getMessage()]


@pytest.mark.parametrize("name", ["sslmode", "sslrootcert", "password"])
@pytest.mark.parametrize("blank", ["", None])
def test_words_of_the_driver(
    rds: RdsEmulator, databases: Any, name: str, blank: str | None
) -> None:
    """An empty word about TLS is none either."""
    for driver in ("psycopg", "psycopg2"):
        database = databases(rds.url(f"postgresql+{driver}"), connect_args={name: blank})
        assert database.scalar("select 1") == 1
    if blank is not None:
        assert databases(rds.url().update_query_dict({name: ""})).scalar("select 1") == 1


@pytest.mark.parametrize("driver", ["asyncpg", "pg8000"])
def test_words_of_the_other_drivers(rds: RdsEmulator, databases: Any, driver: str) -> None:
    """The same where TLS is a context."""
    arguments = {"sslmode": "", "ssl" if driver == "asyncpg" else "ssl_context": ""}
    url = rds.url(f"postgresql+{driver}")
    database = databases(url, is_async=driver == "asyncpg", connect_args=arguments)
    assert database.scalar("select 1") == 1


def test_ini_files(ca: str) -> None:
    """A line without a value is as good as none."""
    section = {
        "db.url": GIVEN.replace("app@", "app:@"),
        "db.rds_iam_role_arn": "",
        "db.rds_iam_timeout": "",
        "db.rds_iam_enabled": "",
    }
    assert engine_from_config(section, "db.").url == make_url(GIVEN)


PAIRS: list[dict[str, Any]] = [
    {"writer": WRITER, "reader": RO, "rds_iam_role_arn": "", "rds_iam_timeout": None},
    {"writer": WRITER.replace("app@", "app:@"), "reader": RO.replace("//", "//:@")},
    {
        "writer": {
            "sqlalchemy.url": WRITER,
            "sqlalchemy.writer.url": "",
            "sqlalchemy.reader.url": RO,
            "sqlalchemy.reader.rds_iam_profile": "",
            "sqlalchemy.rds_iam_role_arn": "",
        }
    },
    {
        "environ": {
            "RDS_IAM_URL": WRITER,
            "RDS_IAM_READER_URL": RO,
            "RDS_IAM_PROFILE": "",
            "RDS_IAM_READER_ROLE_ARN": " ",
            "RDS_IAM_READER_USER": "",
        }
    },
]


@pytest.mark.parametrize("arguments", PAIRS)
def test_pairs(ca: str, arguments: dict[str, Any]) -> None:
    """The engines of a pair are those of the same words without the empty ones."""
    assert [each.url for each in engine_pair(**arguments)] == [
        each.url for each in engine_pair(WRITER, RO)
    ]


def test_a_pair_names_what_is_empty(ca: str, caplog: Any) -> None:
    """The record is there for variables as well, once for each engine."""
    caplog.set_level(logging.INFO, "sqlalchemy_rds_iam")
    engine_pair(environ={"RDS_IAM_URL": WRITER, "RDS_IAM_READER_URL": RO, "RDS_IAM_ROLE_ARN": ""})
    engine_pair({"url": WRITER, "reader.url": RO, "reader.rds_iam_profile": " "}, prefix="")
    said = [record.getMessage().partition(": ")[2] for record in caplog.records]
    assert [text for text in said if "not given" in text] == [
        "empty, and so not given: rds_iam_role_arn",
        "empty, and so not given: rds_iam_profile",
    ]
    # They are of rds_iam, and say nothing where it is a secret that passwords come from.
    secret = "postgresql+psycopg://app@h/d?plugin=rds_secret&rds_secret_id=x"
    variables = {"RDS_IAM_URL": secret, "RDS_IAM_ROLE_ARN": "", "AWS_REGION": "us-east-1"}
    engine_pair(environ=variables, rds_secret_region="us-east-1")


def test_a_pair_inherits(ca: str) -> None:
    """What the reader says with nothing takes nothing of the writer's away, nor from the URL."""
    for section in (
        {"url": f"{WRITER}&rds_iam_profile=x", "rds_iam_profile": "", "reader.url": RO},
        {"url": WRITER, "rds_iam_profile": "x", "reader.url": RO, "reader.rds_iam_profile": " "},
    ):
        pair = engine_pair(section, prefix="")
        assert [each.url.query["rds_iam_profile"] for each in pair] == ["x", "x"]
    # Nor does it make a reader.
    one = engine_pair({"url": WRITER, "reader.url": "", "reader.rds_iam_profile": ""}, prefix="")
    assert one.reader is one.writer
    variables = {"RDS_IAM_URL": WRITER, "RDS_IAM_READER_URL": "", "RDS_IAM_READER_PROFILE": " "}
    one = engine_pair(environ=variables)
    assert one.reader is one.writer


def test_the_command_line(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option without a value is none, and an empty variable is not the URL."""
    url = str(rds.url()).replace("app@", "app:@")
    done = shown("token", url, "--option", "rds_iam_role_arn=", "-o", "rds_iam_ca= ")
    assert done.code == 0, done.err
    assert Access(url, {"rds_iam_ca": ""}).config.ca == str(rds.ca_file)
    for blank in BLANK:
        monkeypatch.setenv("RDS_IAM_URL", blank)
        monkeypatch.setenv("DATABASE_URL", url)
        assert shown("token").code == 0
