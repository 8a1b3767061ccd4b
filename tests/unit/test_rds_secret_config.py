"""Options of rds_secret: every spelling of a secret's name, and errors that say what to do."""

from __future__ import annotations

import contextlib
import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from option_values import SECRET_VALUES
from sqlalchemy import URL, create_engine, make_url
from worlds import drivernames

from sqlalchemy_rds_iam import ConfigError, SecretError
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.secret_options import SecretId, SecretOptions, as_secret_id
from sqlalchemy_rds_iam._secretsmanager.secret import fields_in

NAMES = st.text(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_+=.@!-",
    min_size=1,
    max_size=64,
)
REGIONS = st.sampled_from(["us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1"])
ENDPOINT = "db.abc123.us-east-1.rds.amazonaws.com"
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/app-a1b2c3"
WITH_A_ROLE = {"role_session_name", "external_id", "role_duration", "sts_endpoint_url"}


def _taken(**options: Any) -> SecretOptions:
    given_options = {f"rds_secret_{name}": value for name, value in options.items()}
    return SecretOptions.take({}, {"rds_secret_id": "app"} | given_options)


def test_every_option_is_covered() -> None:
    """The table of this module knows every option there is."""
    known = {field.name for field in fields(SecretOptions)}
    assert {*SECRET_VALUES, *WITH_A_ROLE, "session", "on_event", "id"} == known


@pytest.mark.parametrize("name", SECRET_VALUES)
def test_a_text_means_its_value(name: str) -> None:
    """A string in the URL, the same as a keyword and the Python value are one and the same."""
    text, value = SECRET_VALUES[name]
    query = {"rds_secret_id": "app", f"rds_secret_{name}": text}
    from_url = SecretOptions.take(query, {})
    assert getattr(from_url, name) == value
    assert from_url == _taken(**{name: text}) == _taken(**{name: value}) != _taken()


@given(NAMES)
def test_any_name(name: str) -> None:
    """Every name that AWS allows is taken as it is, out of a URL's query, too."""
    assert as_secret_id(name) == SecretId(name)
    url = URL.create("postgresql+psycopg", query={"rds_secret_id": name})
    query = make_url(url.render_as_string()).query
    assert SecretOptions.take(query, {}).id == SecretId(name)


@given(NAMES, REGIONS, st.sampled_from(["aws", "aws-cn", "aws-us-gov"]), st.booleans())
def test_any_arn(name: str, region: str, partition: str, partial: bool) -> None:
    """An ARN says the region, whether it is whole or without its last seven characters."""
    arn = f"arn:{partition}:secretsmanager:{region}:123456789012:secret:{name}"
    arn += "" if partial else "-AbC123"
    assert as_secret_id(f" {arn} ") == SecretId(arn, region)


@given(NAMES, st.sampled_from([("#1", "AWSCURRENT"), ("#2", "AWSPREVIOUS")]))
def test_kongs_numbers(name: str, number: tuple[str, str]) -> None:
    """As in Kong Gateway, #1 is AWSCURRENT and #2 is AWSPREVIOUS."""
    config = _taken(id=name + number[0])
    assert (config.name, config.stage) == (name, number[1])


@given(st.text(max_size=40))
def test_anything_else(text: str) -> None:
    """Whatever is given is taken or refused with a sentence; never anything else."""
    with contextlib.suppress(ValueError):
        assert as_secret_id(text).text in text


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("id", "a b", "without spaces; in a URL, a \\+ is written %2B"),
        ("id", "app#3", "nothing after # but 1"),
        ("id", "app#", "nothing after # but 1"),
        ("id", "arn:aws:ssm:eu-west-1:123456789012:parameter/x", "its ARN such as"),
        ("id", "arn:aws:secretsmanager:eu-west-1:12:secret:x", "its ARN such as"),
        ("id", "ünder", "the name of a secret"),
        ("region", "Frankfurt", "a region such as"),
        ("ttl", "-1", "number of seconds"),
        ("version_id", "1", "32 to 64"),
        ("conflict", "both", "'error' or 'url' or 'secret'"),
        ("endpoint_url", "http://example.com", "Secrets Manager answers with credentials in clear"),
        ("endpoint_url", "example.com", "https://secretsmanager.eu-central-1.amazonaws.com"),
        ("version_stge", "x", "did you mean rds_secret_version_stage"),
        ("connect_rate", "50", "is about IAM tokens, see rds_iam_connect_rate"),
        ("port", "5433", "is about IAM tokens"),
        ("password", "canary", "secrets do not belong .*rds_secret_profile"),
        ("access_key", "canary", "secrets do not belong"),
    ],
)
def test_bad_values(name: str, value: str, says: str) -> None:
    """The error names the option and says what was expected, and not what must not be printed."""
    with pytest.raises(ConfigError, match=says) as caught:
        _taken(**{name: value})
    assert f"rds_secret_{name}" in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"id": None}, "rds_secret_id is missing"),
        ({"id": ARN, "region": "us-east-1"}, "contradicts the ARN in rds_secret_id"),
        ({"version_stage": "A", "version_id": "b" * 32}, "both say which version"),
        ({"id": "app#2", "version_stage": "A"}, "the # in rds_secret_id both say which version"),
        ({"external_id": "abc"}, "rds_secret_external_id goes with a role"),
        ({"host": "a", "resolve_cname": "on"}, "both say which endpoint it is"),
        ({"profile": "a", "session": type("S", (), {"get_credentials": len})()}, "both say whose"),
    ],
)
def test_contradictions(options: dict[str, Any], says: str) -> None:
    """What cannot be right together is refused."""
    with pytest.raises(ConfigError, match=says):
        _taken(**options)


def test_switched_off() -> None:
    """Switched off, the plugin does not even ask for a secret's name."""
    assert not SecretOptions.take({"rds_secret_enabled": "off"}, {}).enabled
    create_engine("postgresql+psycopg:///app?plugin=rds_secret&rds_secret_enabled=off")


def test_the_shared_options_are_the_same() -> None:
    """Options that both plugins have mean and default to the same."""
    iam = {field.name: field for field in fields(IamOptions)}
    for field in fields(SecretOptions):
        if field.name in iam and field.name != "region":
            assert field.default == iam[field.name].default
            assert field.metadata["parse"] is iam[field.name].metadata["parse"]


HOST = "app@db.abc123.us-east-1.rds.amazonaws.com/app"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"{HOST}?plugin=rds_secret&plugin=rds_iam&rds_secret_id=x", "name one of them"),
        (f"{HOST}?plugin=rds_iam&plugin=rds_secret&rds_secret_id=x", "name one of them"),
        (
            f"{HOST}?plugin=rds_secret&rds_secret_id=x&rds_iam_ca=/x",
            "rds_iam_ca is an option of an",
        ),
        (f"{HOST}?plugin=rds_iam&rds_secret_ca=/x", "its own begin with rds_iam_"),
        (f"{HOST}?plugin=rds_secret&plugin=rds_secret&rds_secret_id=x", "more than once"),
        ("a:b@h/d?plugin=rds_secret&rds_secret_id=x", "replaces it with a password.*_enabled=off"),
    ],
)
def test_what_cannot_work(ca: str, url: str, says: str) -> None:
    """Two plugins, the options of the other one, a password: each an error of create_engine()."""
    with pytest.raises(ConfigError, match=says):
        create_engine(f"postgresql+psycopg://{url}")


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pg8000"])
def test_tls_is_asked_for(ca: str, driver: str) -> None:
    """Weaker TLS than asked for is refused by create_engine(), without knowing the host."""
    argument = "ssl_context" if driver == "pg8000" else "sslmode"
    weak: Any = False if driver == "pg8000" else "require"
    url = f"postgresql+{driver}://?plugin=rds_secret&rds_secret_id=x&rds_secret_region=us-east-1"
    create_engine(url)
    with pytest.raises(ConfigError, match=r"weaker than rds_secret_tls=verify-full.*A password"):
        create_engine(url, connect_args={argument: weak})
    with pytest.raises(ConfigError, match="rds_secret_ca"):
        create_engine(f"{url}&rds_secret_ca=/nowhere")


@pytest.mark.parametrize("begin", drivernames())
def test_a_name_to_verify_and_no_host(ca: str, begin: str) -> None:
    """Where the secret says the host, whether a driver has to dial another name shows later."""
    url = f"{begin}://?plugin=rds_secret&rds_secret_id=x&rds_secret_ca={ca}"
    create_engine(f"{url}&rds_secret_region=us-east-1&rds_secret_host={ENDPOINT}")


def _read(text: str) -> tuple[Any, str]:
    """What a secret of this text says, or the error's words, which have to stand for themselves."""
    try:
        return fields_in(text, "app", "username", "password"), ""
    except SecretError as error:
        context, said = error.__context__, str(error)
    assert context is None
    assert "'app'" in said
    return None, said


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["username", "password", "host", "port", "dbname"]), JSON))
def test_any_json(value: dict[str, Any]) -> None:
    """Whatever JSON a secret holds: a login with these very values, or an error without them."""
    login, _ = _read(json.dumps(value))
    if login is not None:
        assert str(login.password()) == value["password"]
        assert repr(login.password).startswith("<masked")
        assert login.user == value.get("username")
        assert login.port is None or login.port == int(value["port"])


@given(st.text())
def test_any_text(text: str) -> None:
    """Any text is a password as it is, unless it begins like JSON; errors do not quote it.

    A byte order mark is none of it, and no driver sends a NUL.
    """
    login, said = _read(text)
    text = text.removeprefix("\ufeff")
    if "\0" in text:
        assert "NUL" in said or "begins like JSON" in said
    elif not text.lstrip().startswith("{"):
        assert login.password() == text if text else "is empty" in said
    assert login or len(text) < 8 or text not in said


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_byte_order_mark(mark: str) -> None:
    """A mark that an editor has written is no part of the password, nor of the JSON."""
    assert _read(mark + "plain")[0].password() == "plain"
    login, _ = _read(mark + '{"username": "app", "password": "in JSON"}')
    assert (login.user, login.password()) == ("app", "in JSON")
    assert "is empty" in _read(mark)[1]


@pytest.mark.parametrize("key", ["username", "password", "host", "port", "dbname"])
def test_a_key_twice(key: str) -> None:
    """Of two values for one key none is taken, as others may take the other."""
    text = f'{{"password": "canary-one", "{key}": "canary-two", "{key}": "canary-three"}}'
    login, said = _read(text)
    assert login is None
    assert f"the key {key!r} twice" in said
    assert "canary" not in said
    assert _read('{"password": "one", "engine": 1, "engine": 2, "tags": {"a": 1, "a": 2}}')[0]


@pytest.mark.parametrize("text", ["canary\0", '{"password": "canary\\u0000"}'])
def test_a_nul(text: str) -> None:
    """What no driver can send is refused before one cuts it off."""
    login, said = _read(text)
    assert login is None
    assert "NUL" in said
    assert "canary" not in said


@pytest.mark.parametrize(
    ("text", "oddity"),
    [
        ("canary\n", "ends in a line feed"),
        ("canary\r\n", "ends in a line feed"),
        (" canary", "begins with a blank"),
        ("canary\u00a0", "ends in a blank"),
        ("canary\x1b", "ends in a control character"),
        ('"canary"', "is in quotation marks"),
        ('["canary"]', "begins like a JSON list"),
        ('{"password": "canary\\n"}', "ends in a line feed"),
        ("canary", None),
        ("can ary", None),
        ("'", None),
        ("é…ß", None),
    ],
)
def test_what_may_be_a_mistake(text: str, oddity: str | None) -> None:
    """It is sent as it is, since it may be meant, and told when it is refused."""
    login, _ = _read(text)
    told = login.oddity
    assert told is None if oddity is None else told.startswith(oddity)
    assert "canary" not in str(told)


def test_deep_json() -> None:
    """JSON that is too deep for Python is an error like any other."""
    assert "too deep" in _read('{"a":' * 100_000)[1]
