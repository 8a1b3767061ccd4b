"""Options: one name and one meaning in the URL, as a keyword and in an ini file."""

from __future__ import annotations

import contextlib
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from option_values import HOST, ROLE, ROLE_VALUES, VALUES
from sqlalchemy import create_engine, engine_from_config, exc, make_url
from sqlalchemy.ext.asyncio import async_engine_from_config, create_async_engine

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._config.iam_options import IamOptions

URL = f"postgresql+psycopg://app@{HOST}/app?plugin=rds_iam"


def test_every_option_is_covered() -> None:
    """The table of values knows every option there is."""
    assert {*VALUES, *ROLE_VALUES, "session", "on_event"} == {
        field.name for field in fields(IamOptions)
    }


@pytest.mark.parametrize("name", VALUES)
def test_url_keyword_and_native_value_mean_the_same(name: str) -> None:
    """A string in the URL, the same string as a keyword, and the Python value give one Config."""
    string, value = VALUES[name]
    keywords: list[dict[str, Any]] = [{f"rds_iam_{name}": string}, {f"rds_iam_{name}": value}]
    from_url = IamOptions.take({f"rds_iam_{name}": string}, {})
    assert getattr(from_url, name) == value
    assert from_url != IamOptions()
    for given_keywords in keywords:
        assert IamOptions.take({}, given_keywords) == from_url
        assert given_keywords == {}


@pytest.mark.parametrize("name", ROLE_VALUES)
def test_options_of_a_role(name: str) -> None:
    """They are taken together with a role, and refused without one."""
    string, value = ROLE_VALUES[name]
    config = IamOptions.take({"rds_iam_role_arn": ROLE, f"rds_iam_{name}": string}, {})
    assert (config.role_arn, getattr(config, name)) == (ROLE, value)
    with pytest.raises(ConfigError, match=f"rds_iam_{name} goes with a role.*rds_iam_role_arn"):
        IamOptions.take({f"rds_iam_{name}": string}, {})


def test_keyword_wins_over_url() -> None:
    """A keyword beats the URL, if it says something."""
    query = {"rds_iam_timeout": "5"}
    assert IamOptions.take(query, {"rds_iam_timeout": 7}).timeout == 7


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("timeout", "abc", "number of seconds"),
        ("timeout", "0", "above 0"),
        ("timeout", "nan", "number of seconds"),
        ("failure_ttl", "-1", "number of seconds"),
        ("connect_rate", "-1", "whole connects a second"),
        ("connect_rate", "2.5", "whole connects a second"),
        ("connect_rate", "1000000", "up to 100000"),
        ("port", "70000", "65535"),
        ("port", True, "65535"),
        ("enabled", "maybe", "on or off"),
        ("tls", "prefer", "'verify-full' or 'verify-ca' or 'require'"),
        ("refresh", "eager", "'ahead' or 'lazy'"),
        ("credentials", "boto", "'auto' or 'botocore' or 'aiobotocore'"),
        ("session", "prod", "session object"),
        ("region", 1, "a region such as .eu-central-1., by its code"),
        ("role_arn", "arn:aws:iam::1:role/x", "the ARN of a role"),
        ("role_arn", "arn:aws:iam::123456789012:user/x", "the ARN of a role"),
        ("role_arn", "app", "the ARN of a role"),
        ("role_session_name", "a b", "2 to 64 letters"),
        ("external_id", "x", "2 to 1224 letters"),
        ("role_duration", "899", "900 to 43200"),
        ("role_duration", "3600.5", "whole seconds"),
        ("role_duration", "1h", "900 to 43200|number of seconds"),
        ("sts_endpoint_url", "http://sts.us-east-1.amazonaws.com", "an https:// URL"),
        ("sts_endpoint_url", "sts.us-east-1.amazonaws.com", "a URL such as"),
        ("sts_endpoint_url", "https://user:canary@sts.us-east-1.amazonaws.com", "a URL such as"),
        ("regoin", "x", "did you mean rds_iam_region"),
        ("completely_different", "x", "known are"),
        ("secret_access_key", "canary", "secrets do not belong"),
    ],
)
def test_bad_values(name: str, value: Any, says: str) -> None:
    """Each names the option, says what was expected, and never repeats a secret."""
    with pytest.raises(ConfigError, match=says) as caught:
        IamOptions.take({}, {f"rds_iam_{name}": value})
    assert f"rds_iam_{name}" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_given_twice() -> None:
    """A URL that says an option twice is refused instead of one of them winning."""
    with pytest.raises(ConfigError, match="2 times"):
        IamOptions.take(make_url(URL + "&rds_iam_tls=require&rds_iam_tls=verify-ca").query, {})


@given(
    st.dictionaries(
        st.sampled_from([f"rds_iam_{name}" for name in {**VALUES, **ROLE_VALUES}]), st.text()
    )
)
def test_garbage(options: dict[str, str]) -> None:
    """Any text is either understood or refused as a ConfigError."""
    with contextlib.suppress(ConfigError):
        IamOptions.take(options, {})


@pytest.mark.parametrize(
    ("url", "kwargs", "says"),
    [
        (f"postgresql+psycopg://app:secret-canary@{HOST}/a?plugin=rds_iam", {}, "password"),
        (URL, {"connect_args": {"password": "secret-canary"}}, "password"),
        (URL + "&password=secret-canary", {}, "password"),
        (URL, {"creator": lambda: None}, "creator"),
        (URL, {"plugins": ["rds_iam", "rds_iam"]}, "more than once"),
        (URL + "&plugin=rds_iam", {}, "more than once"),
        (f"postgresql+psycopg://app@/app?plugin=rds_iam&host={HOST}&host=b", {}, "one host only"),
        ("postgresql+psycopg://app@/app?plugin=rds_iam", {}, "no host"),
        (f"postgresql+psycopg://{HOST}/app?plugin=rds_iam", {}, "no database user"),
        ("postgresql+psycopg://app@/app?plugin=rds_iam&host=/tmp", {}, "Unix socket"),
        ("postgresql+psycopg://app@10.0.0.1/app?plugin=rds_iam", {}, "rds_iam_host"),
        ("postgresql+psycopg://app@db.example.com/app?plugin=rds_iam", {}, "rds_iam_host"),
        ("sqlite://?plugin=rds_iam", {}, "'pysqlite' is not supported"),
        (URL + "&rds_iam_tiemout=3", {}, "rds_iam_timeout"),
        (URL + "&rds_iam_region=eu-west-1", {}, "contradicts"),
        (URL + "&sslmode=require", {}, "rds_iam_tls=require"),
        (URL + "&sslmode=disable", {}, "weaker"),
        (URL + "&gssencmode=require", {}, "gssencmode"),
        (URL, {"connect_args": {"port": "1,2"}}, "one port"),
        (URL, {"rds_iam_session": object()}, "session object"),
        (URL + "&rds_iam_credentials=aiobotocore", {}, "async engines only"),
    ],
)
def test_refused_at_create_engine(url: str, kwargs: dict[str, Any], says: str, ca: str) -> None:
    """What cannot work raises from create_engine, as an ArgumentError, without any secret."""
    with pytest.raises(ConfigError, match=says) as caught:
        create_engine(url, **kwargs)
    assert isinstance(caught.value, exc.ArgumentError)
    assert "secret-canary" not in str(caught.value)


def test_pool_is_refused(ca: str) -> None:
    """A ready pool would bypass the plugin without a word."""
    pool = create_engine("sqlite://").pool
    with pytest.raises(ConfigError, match="pool"):
        create_engine(URL, pool=pool)


def test_async_creator_is_refused(ca: str) -> None:
    """So would a connection factory of the user's own, in the async world as well."""

    async def connect() -> None: ...

    with pytest.raises(ConfigError, match="creator"):
        create_async_engine(URL.replace("psycopg", "asyncpg"), async_creator=connect)


def test_off_leaves_no_listener() -> None:
    """rds_iam_enabled=off is an engine without the plugin, passwords and all."""
    engine = create_engine(
        f"postgresql+psycopg://app:pw@{HOST}/app?plugin=rds_iam&rds_iam_enabled=off"
    )
    assert not list(engine.dialect.dispatch.do_connect)  # type: ignore[attr-defined]
    assert not list(engine.dialect.dispatch.handle_error)  # type: ignore[attr-defined]
    assert str(engine.url) == f"postgresql+psycopg://app:***@{HOST}/app"


def test_ini_strings(ca: str) -> None:
    """engine_from_config knows the same options, as strings, sync and async."""
    section = {"db.url": URL, "db.rds_iam_timeout": "5", "db.pool_size": "3"}
    assert engine_from_config(section, "db.").pool.size() == 3  # type: ignore[attr-defined]
    async_engine_from_config(section, "db.")
    with pytest.raises(ConfigError, match="rds_iam_timeout='abc'"):
        engine_from_config(section | {"db.rds_iam_timeout": "abc"}, "db.")
