"""The note on a refused token: facts, then causes, none of which the error rules out."""

from __future__ import annotations

import dataclasses
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_rds_iam._aws.sigv4 import Credentials, IssuedPassword, MaskedStr
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._connecting.login_errors import explain, refused_login
from sqlalchemy_rds_iam._connecting.provider import ConnectPlan, Failure
from sqlalchemy_rds_iam._databases import mysql_causes, postgresql_causes
from sqlalchemy_rds_iam._databases.drivers import Target
from sqlalchemy_rds_iam._databases.postgresql import DRIVERS, POSTGRESQL
from sqlalchemy_rds_iam._databases.token_causes import MOST, RefusedLogin
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint, parse_host
from sqlalchemy_rds_iam._passwords.cache_entry import CacheEntry
from sqlalchemy_rds_iam._ratelimit.retry_policy import RetryState

PAM = 'FATAL:  PAM authentication failed for user "app"'
PASSWORD = 'FATAL:  password authentication failed for user "app"'
PROXY = 'FATAL:  IAM authentication failed for user "app". Check the IAM token for this user'
INSTANCE = "db.abc123.us-east-1.rds.amazonaws.com"
CLUSTER = "db.cluster-abc123.us-east-1.rds.amazonaws.com"
AT_PROXY = "db.proxy-abc123.us-east-1.rds.amazonaws.com"
GLOBAL = "db.global-abc123.global.rds.amazonaws.com"
CUSTOM = "db.example.com"

KEY = Credentials("AKIAIOSFODNN7EXAMPLE", "canary-key", None, None, "env")
SESSION = Credentials("ASIAIOSFODNN7EXAMPLE", "canary-key", "canary-session", None, "env")
ENDING = Credentials("ASIAIOSFODNN7EXAMPLE", "canary-key", "canary-session", 30, "iam-role")
FORGOTTEN = Credentials("ASIAIOSFODNN7EXAMPLE", "canary-key", None, None, "env")


def _login(
    host: str = INSTANCE,
    user: str = "app",
    port: int = 5432,
    *,
    credentials: Credentials | None = KEY,
    accepted: float | None = None,
    **more: Any,
) -> RefusedLogin:
    endpoint = Endpoint(host, port, user, "us-east-1")
    login = RefusedLogin(endpoint, parse_host(host), accepted=accepted, **more)
    if credentials is None:
        return login
    return login._replace(
        key=credentials.access_key[-4:],
        provider=credentials.provider,
        is_temporary=bool(credentials.session_token),
        lacks_session=credentials.access_key.startswith("ASIA") and not credentials.session_token,
        expires_in=credentials.expires_at,
    )


def _names(login: RefusedLogin, said: str) -> list[str]:
    return [cause.name for cause in postgresql_causes.refused(login, said)]


FIRST = [
    (PASSWORD, _login(), "role"),
    (PASSWORD, _login(user="App"), "spelling"),
    (PASSWORD, _login(user="App", accepted=5), "role"),
    (PASSWORD, _login(AT_PROXY), "proxy-auth"),
    (PAM, _login(), "policy"),
    (PAM, _login(user="App"), "policy"),
    (PAM, _login(credentials=SESSION, accepted=3600), "session"),
    (PAM, _login(accepted=3600), "keys"),
    (PAM, _login(credentials=ENDING), "session"),
    (PAM, _login(credentials=FORGOTTEN), "session"),
    (PAM, _login(accepted=1), "throttled"),
    (PAM, _login(CUSTOM), "host"),
    (PAM, _login(GLOBAL), "region"),
    (PAM, _login(port=15432, dialled="localhost"), "port"),
    (PAM, _login(dialled="localhost", checks_name=False), "host"),
    (PAM, _login(dialled="localhost"), "policy"),
    (PAM, _login(port=6000), "policy"),
    (PROXY, _login(AT_PROXY), "policy"),
    (PROXY, _login(AT_PROXY, accepted=1), "throttled"),
]


@pytest.mark.parametrize(("said", "login", "name"), FIRST)
def test_the_first_cause(said: str, login: RefusedLogin, name: str) -> None:
    """What the words and what is known make most likely comes first."""
    assert _names(login, said)[0] == name


LOGINS = st.builds(
    _login,
    st.sampled_from([INSTANCE, CLUSTER, AT_PROXY, GLOBAL, CUSTOM]),
    st.text(min_size=1),
    st.integers(1, 65535),
    credentials=st.sampled_from([None, KEY, SESSION, ENDING, FORGOTTEN]),
    accepted=st.none() | st.floats(0, 1e6),
    dialled=st.none() | st.just("localhost"),
    checks_name=st.booleans(),
)


@given(login=LOGINS, said=st.sampled_from([PAM, PASSWORD, PROXY]))
def test_nothing_that_the_error_rules_out(login: RefusedLogin, said: str) -> None:
    """No role where IAM was asked, no policy where it was not, no GRANT at a proxy."""
    causes = postgresql_causes.refused(login, said)
    names, text = {cause.name for cause in causes}, "\n".join(cause.text for cause in causes)
    assert 1 <= len(causes) <= MOST
    assert len(names) == len(causes)
    if said == PASSWORD:
        assert not names & {"policy", "keys", "session", "clock", "throttled", "server"}
    else:
        assert not names & {"role", "disabled", "user", "spelling"}
    if login.host.is_proxy or said != PASSWORD:
        assert "GRANT rds_iam" not in text


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("This RDS proxy has no credentials for the role app. Check them.", "proxy-secret"),
        ("Enable IAM authentication for the client connection to the proxy.", "proxy-auth"),
        ("Configure IAM authentication as the DefaultAuthScheme to use it.", "proxy-auth"),
        ("RDS supports only IAM, MD5, or SCRAM authentication.", "proxy-auth"),
    ],
)
def test_what_a_proxy_says_outright(said: str, name: str) -> None:
    """A proxy that is not set up for tokens says so, and the note says what to set."""
    [cause] = POSTGRESQL.at_proxy("app", said)
    assert cause.name == name
    assert not POSTGRESQL.at_proxy("app", PROXY)


def _note(
    user: str,
    host: str,
    credentials: Credentials | None,
    *,
    accepted: bool = False,
    now: float = 1060.0,
    tried: float | None = None,
    **options: str,
) -> str:
    error, endpoint = Exception(PAM), Endpoint(host, 5432, user, "us-east-1")
    target, entry = Target(DRIVERS["psycopg"], endpoint, parse_host(host), {}), CacheEntry(endpoint)
    if accepted:
        entry.accepted_before = 0.0
    began = time.monotonic() - (tried or 0.0)
    if tried is not None:
        entry.first_refused = began
    token = IssuedPassword(MaskedStr("canary-token"), 1000, 1900)
    plan, state = ConnectPlan(target, entry, None, ()), RetryState(began, began)
    failure = Failure(error, {"host": host}, plan, token, now, state)
    login = refused_login(failure, IamOptions.take({}, dict(options)), credentials, now)
    explain(error, login, family=POSTGRESQL, token=token, now=now, command="rds-iam doctor URL")
    return error.__notes__[0]


def test_note() -> None:
    """The note has what only the client knows: what was signed, by whom, how long ago."""
    credentials: Any = Credentials("ASIAIOSFODNN7EXAMPLE", "canary-key", "canary-s", 2000, "env")
    note = _note("App", INSTANCE, credentials, accepted=True)
    title, signed, token, *causes, command = note.splitlines()
    assert title == "rds_iam: the server refused the IAM token of 'App'"
    assert f"App@{INSTANCE}:5432 (us-east-1)" in signed
    assert "…MPLE from 'env', whose session ends in 940 s" in signed
    assert "60 s old, valid for 840 s more" in token
    assert re.search(r"the last login of this user was accepted \d+ s ago", token)
    assert all(each.startswith("- ") for each in causes)
    assert 1 <= len(causes) <= MOST
    assert command == "rds-iam doctor URL"
    assert "canary" not in note
    assert "ASIAIOSFODNN7EXAMPLE" not in note
    assert "keys that have been replaced since" in _note("app", INSTANCE, None)


def test_for_how_long_it_was_tried() -> None:
    """A first login that was tried again says so, and nothing else does."""
    assert "no login of this user was accepted before, nor in 2.5 s of tr" in _note(
        "app", INSTANCE, KEY, tried=2.5
    )
    assert "nor in" not in _note("app", INSTANCE, KEY)
    assert "nor in" not in _note("app", INSTANCE, KEY, tried=2.5, accepted=True)


@pytest.mark.parametrize("credentials", [KEY, SESSION, None])
@pytest.mark.parametrize("host", [INSTANCE, CLUSTER])
def test_many_at_once(host: str, credentials: Credentials | None) -> None:
    """Where there is no store, and nothing is tried for longer, that is what many need."""
    alone = _note("app", host, credentials)
    assert "set rds_iam_throttle_retry=patient, or rds_iam_rate_storage" in alone
    assert "patient" in _note("app", host, credentials, rds_iam_throttle_retry="off")
    for options in (
        {"rds_iam_throttle_retry": "patient"},
        {"rds_iam_rate_storage": "redis://cache:6379/0"},
    ):
        assert "patient" not in _note("app", host, credentials, **options)
    assert "patient" not in _note("app", host, credentials, accepted=True)


@pytest.mark.parametrize(
    ("host", "dialled"), [(INSTANCE, None), (INSTANCE, "127.0.0.1"), (CUSTOM, None)]
)
@pytest.mark.parametrize("is_hasty", [True, False])
def test_a_clock_has_its_line(host: str, dialled: str | None, is_hasty: bool) -> None:
    """Where the server says the same of the account, the clock is among the causes all the same."""
    login = _login(host, port=3306, is_hasty=is_hasty, dialled=dialled)
    names = [cause.name for cause in mysql_causes.refused(login, "")]
    assert "clock" in names
    if (host, dialled) == (INSTANCE, None):
        assert "throttled" in names


@pytest.mark.parametrize(
    ("credentials", "hopeless"),
    [
        (KEY, False),
        (SESSION, False),
        (None, False),
        (FORGOTTEN, True),
        (ENDING, False),
        (dataclasses.replace(ENDING, expires_at=0), True),
        (dataclasses.replace(ENDING, expires_at=-5), True),
    ],
)
def test_keys_that_cannot_be_good(credentials: Credentials | None, hopeless: bool) -> None:
    """A session that has ended, or is missing, is not let in however often it is tried."""
    assert _login(credentials=credentials).is_hopeless is hopeless


def test_as_documented() -> None:
    """The note of the quick start is what is written, line by line."""
    page = (Path(__file__).parents[2] / "docs" / "quickstart.md").read_text("utf-8")
    found = re.search(r"^(rds_iam: .*?)\n- …\n", page, re.MULTILINE | re.DOTALL)
    assert found is not None
    host = "mydb.abc123.eu-central-1.rds.amazonaws.com"
    shown = found[1].replace(host, INSTANCE).replace("eu-central-1", "us-east-1")
    written = _note("app", INSTANCE, KEY, tried=2.6).replace("…MPLE", "…2EAE")
    written = written.replace("60 s old, valid for 840 s", "3 s old, valid for 897 s")
    assert written.startswith(shown + "\n- ")


def test_numbers_of_the_note() -> None:
    """A token that has expired meanwhile is valid for 0 s more, and not for less."""
    assert "1000 s old, valid for 0 s more" in _note("app", INSTANCE, KEY, now=2000.0)


@given(user=st.text(min_size=1))
def test_any_user(user: str) -> None:
    """Whatever is in a name, a cause is one line, and nothing else looks like one."""
    title, _, _, *causes, command = _note(user, INSTANCE, KEY).split("\n")
    assert title.startswith("rds_iam: ")
    assert all(each.startswith("- ") for each in causes)
    assert command == "rds-iam doctor URL"
