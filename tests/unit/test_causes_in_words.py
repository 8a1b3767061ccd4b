"""What the note on a refused token says, sentence by sentence, and when."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import Any

import pytest
from test_refused_token import (
    AT_PROXY,
    CLUSTER,
    CUSTOM,
    ENDING,
    FORGOTTEN,
    GLOBAL,
    INSTANCE,
    KEY,
    PAM,
    PASSWORD,
    PROXY,
    SESSION,
    _login,
    _note,
)

from sqlalchemy_rds_iam._aws.sigv4 import Credentials, IssuedPassword, MaskedStr
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._connecting.login_errors import refused_login
from sqlalchemy_rds_iam._connecting.provider import ConnectPlan, Failure
from sqlalchemy_rds_iam._databases import postgresql_causes
from sqlalchemy_rds_iam._databases.drivers import Target
from sqlalchemy_rds_iam._databases.postgresql import DRIVERS, POSTGRESQL
from sqlalchemy_rds_iam._databases.token_causes import RefusedLogin
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint, parse_host
from sqlalchemy_rds_iam._passwords.cache_entry import CacheEntry
from sqlalchemy_rds_iam._ratelimit.retry_policy import RetryState

LASTING = Credentials("ASIAIOSFODNN7EXAMPLE", "key", "canary-session", 3000, "container-role")
ENDED = replace(LASTING, expires_at=-5)
IN_A_FILE = Credentials("ASIAIOSFODNN7EXAMPLE", "key", None, None, "shared-credentials-file")

# By name; what follows a colon tells apart those of one name.
SENTENCES = {
    "role": "no user 'app', in this very spelling, is a member of rds_iam: "
    'GRANT rds_iam TO "app"',
    "role:lost": "'app' is no longer a member of rds_iam: GRANT rds_iam TO \"app\"",
    "role:App": "no user 'App', in this very spelling, is a member of rds_iam: "
    'GRANT rds_iam TO "App"',
    "user": "there is no user 'app' on this server: CREATE USER \"app\", then grant it rds_iam",
    "user:App": "there is no user 'App' on this server: CREATE USER \"App\", then grant it rds_iam",
    "user:proxy": "the database has no user 'app', in this spelling",
    "disabled": "IAM database authentication is off for this instance or cluster: turn it on there",
    "other": "a pooler, or another PostgreSQL, answers: its passwords are its own",
    "spelling": "the user is 'app', as PostgreSQL makes names lower-case that are created without "
    "quotes: spell it so in the URL",
    "host": "'db.example.com' is not the name of an RDS endpoint, and RDS accepts only tokens that "
    "are signed for its own name: set rds_iam_host",
    "host:unchecked": "rds_iam_tls does not check who answers: 'localhost' leads to another "
    "database than 'db.abc123.us-east-1.rds.amazonaws.com', or what is between them cuts the token "
    "short",
    "region": "the token is signed for us-east-1: rds_iam_region has to be the region of the "
    "global database's primary cluster",
    "port": "the database listens at another port than 5432: set rds_iam_port to that port",
    "port:15432": "the token is signed for port 15432, which is the tunnel's: set rds_iam_port to "
    "the port where the database listens, mostly 5432",
    "port:432": "the token is signed for port 432, which is the tunnel's: set rds_iam_port to the "
    "port where the database listens, mostly 5432",
    "proxy-auth": "IAM authentication is not set to Required at the proxy, which so takes the "
    "token for a password",
    "proxy-secret": "the secret that the proxy has for 'app' is about another user or password",
    "policy": "no policy allows rds-db:connect on dbuser:<db-…>/app (compare resource id, account, "
    "region and case), or access key …MPLE is revoked, or its secret key wrong",
    "policy:temporary": "no policy allows rds-db:connect on dbuser:<db-…>/app for these keys: "
    "compare resource id, account, region and case",
    "policy:cluster": "no policy allows rds-db:connect on dbuser:<cluster-…>/app (compare resource "
    "id, account, region and case), or access key …MPLE is revoked, or its secret key wrong",
    "policy:proxy": "no policy allows rds-db:connect on dbuser:<prx-…>/app (compare resource id, "
    "account, region and case), or access key …MPLE is revoked, or its secret key wrong",
    "policy:unknown": "no policy allows rds-db:connect on dbuser:<resource id>/app (compare "
    "resource id, account, region and case), or access key …MPLE is revoked, or its secret key "
    "wrong",
    "keys": "the keys are of another account than the database: use keys, or a role, of its own",
    "keys:revoked": "access key …MPLE was revoked, or replaced: renew the keys",
    "keys:gone": "the access key was revoked, or replaced: renew the keys",
    "keys:temporary": "access key …MPLE was revoked, has another secret key, or is of another "
    "account: renew the keys",
    "session": "the session token from 'env' has expired, was cut short, or belongs to other keys: "
    "take new credentials",
    "session:ending": "the session from 'iam-role' was ended early, or its token was cut short (it "
    "should last 30 s more): take new credentials",
    "session:ended": "the session from 'container-role' was ended early, or its token was cut "
    "short (it should last 0 s more): take new credentials",
    "session:lasting": "the session from 'container-role' was ended early, or its token was cut "
    "short (it should last 3000 s more): take new credentials",
    "session:missing": "access key …MPLE is a temporary one, and the session token that belongs to "
    "it is missing: set AWS_SESSION_TOKEN",
    "session:file": "access key …MPLE is a temporary one, and the session token that belongs to it "
    "is missing: set aws_session_token",
    "clock": "this machine's clock is wrong by more than five minutes: compare it with a time "
    "server's",
    "throttled": "RDS throttles logins that come too fast, in the same words: use a pool, or a "
    "lower rds_iam_connect_rate",
    "server": "the server cannot reach IAM, or is restarting (a Multi-AZ cluster says the same "
    "then): try again in a minute",
}

CLUSTERS = [
    CLUSTER,
    "db.cluster-ro-abc123.us-east-1.rds.amazonaws.com",
    "db.cluster-custom-abc123.us-east-1.rds.amazonaws.com",
]
PROXIES = [AT_PROXY, "db.endpoint.proxy-abc123.us-east-1.rds.amazonaws.com"]
LATER = {"dialled": "localhost", "accepted": 3600}

SAID = [
    (PASSWORD, _login(), "role user disabled other"),
    (PASSWORD, _login(user="App"), "spelling role:App user:App disabled"),
    (PASSWORD, _login(accepted=5), "role:lost disabled user"),
    (PASSWORD, _login(CUSTOM), "role user disabled other host"),
    *((PASSWORD, _login(each), "proxy-auth proxy-secret user:proxy") for each in PROXIES),
    (PAM, _login(), "policy keys clock throttled server"),
    *((PAM, _login(each), "policy:cluster keys clock throttled server") for each in CLUSTERS),
    (PAM, _login(credentials=None), "policy:temporary keys clock throttled server"),
    (PAM, _login(credentials=SESSION), "session keys:temporary policy:temporary clock throttled"),
    (
        PAM,
        _login(credentials=LASTING),
        "policy:temporary keys:temporary session:lasting clock throttled",
    ),
    (
        PAM,
        _login(credentials=ENDING),
        "session:ending policy:temporary keys:temporary clock throttled",
    ),
    (
        PAM,
        _login(credentials=ENDED),
        "session:ended policy:temporary keys:temporary clock throttled",
    ),
    (
        PAM,
        _login(credentials=ENDING, accepted=3600),
        "session:ending keys:temporary server policy:temporary throttled",
    ),
    (PAM, _login(credentials=FORGOTTEN), "session:missing policy keys clock throttled"),
    (PAM, _login(credentials=IN_A_FILE), "session:file policy keys clock throttled"),
    (PAM, _login(accepted=1), "throttled keys:revoked server policy clock"),
    (PAM, _login(accepted=3600), "keys:revoked server policy throttled clock"),
    (
        PAM,
        _login(accepted=3600, credentials=None),
        "keys:gone server policy:temporary throttled clock",
    ),
    (PAM, _login(CUSTOM), "host policy:unknown keys clock throttled"),
    (PAM, _login(GLOBAL), "region policy:unknown keys clock throttled"),
    (PAM, _login(dialled="localhost"), "policy keys port clock throttled"),
    (
        PAM,
        _login(dialled="localhost", port=15432),
        "port:15432 policy keys clock throttled",
    ),
    (PAM, _login(dialled="localhost", port=432), "port:432 policy keys clock throttled"),
    (PAM, _login(port=15432, **LATER), "keys:revoked server policy throttled clock"),
    (
        PAM,
        _login(dialled="localhost", checks_name=False),
        "host:unchecked policy keys port clock",
    ),
    *((PROXY, _login(each), "policy:proxy keys clock throttled server") for each in PROXIES),
]


@pytest.mark.parametrize(("said", "login", "words"), SAID)
def test_every_sentence(said: str, login: RefusedLogin, words: str) -> None:
    """Each is in its place, and whole."""
    found = postgresql_causes.refused(login, said)
    expected = [(word.partition(":")[0], SENTENCES[word]) for word in words.split()]
    assert [tuple(cause) for cause in found] == expected


def test_no_sentence_is_left_out() -> None:
    """Each of them is said somewhere above."""
    assert {word for *_, words in SAID for word in words.split()} == {*SENTENCES}


@pytest.mark.parametrize(
    ("said", "name", "text"),
    [
        (
            "too many competing requests",
            "throttled",
            "the proxy throttles logins that come too fast: use a pool, or a lower connect rate",
        ),
        (
            "has no credentials for the role app",
            "proxy-secret",
            "the proxy has no secret of the user 'app': add one, or let the proxy log in by IAM",
        ),
        (
            "Enable IAM authentication",
            "proxy-auth",
            "IAM authentication is not enabled at the proxy: set it to Required there",
        ),
        (
            "RDS supports only IAM, MD5, or SCRAM",
            "proxy-auth",
            "the proxy does not support how 'app' is to log in: set IAM authentication to Required",
        ),
    ],
)
def test_every_sentence_about_a_proxy(said: str, name: str, text: str) -> None:
    """What is to be set there."""
    assert POSTGRESQL.at_proxy("app", said) == [(name, text)]


@pytest.mark.parametrize(
    ("field", "seconds", "name"),
    [
        ("expires_in", 119.5, "session"),
        ("expires_in", 120.0, "policy"),
        ("accepted", 59.5, "throttled"),
        ("accepted", 60.0, "keys"),
    ],
)
def test_the_first_cause_by_time(field: str, seconds: float, name: str) -> None:
    """A session near its end, and a login that was accepted a moment ago, come first."""
    credentials = LASTING if field == "expires_in" else KEY
    login = _login(credentials=credentials)._replace(**{field: seconds})
    assert postgresql_causes.refused(login, PAM)[0].name == name


def test_the_signers_session() -> None:
    """When it ends, as far as it is known."""
    assert "with access key …MPLE from 'env'\n" in _note("app", INSTANCE, KEY)
    ends = "from 'env', whose session ends at an unknown time\n"
    assert ends in _note("app", INSTANCE, SESSION)


@pytest.mark.parametrize("tls", ["verify-full", "verify-ca", "require"])
def test_what_is_known(tls: str) -> None:
    """By the options, the cache's entry and the keys."""
    endpoint = Endpoint(INSTANCE, 5432, "app", "us-east-1")
    target = Target(DRIVERS["psycopg"], endpoint, parse_host(INSTANCE), {}, tunnelled=True)
    entry = CacheEntry(endpoint)
    entry.accepted_before, entry.accepted_at = monotonic() - 500, monotonic() - 100
    plan, token = ConnectPlan(target, entry, None, ()), IssuedPassword(MaskedStr("t"), 1000, 1900)
    failure = Failure(Exception(PAM), {"host": "localhost"}, plan, token, 1060, RetryState(0, 0))
    options: Any = replace(IamOptions(), tls=tls)
    login = refused_login(failure, options, LASTING, 2000.0)
    assert login.checks_name == (tls == "verify-full")
    assert login.accepted is not None
    assert 100 <= login.accepted < 500
    assert login.dialled == "localhost"
    assert login.expires_in == 1000
    assert not refused_login(failure, options, None, 2000.0).lacks_session
