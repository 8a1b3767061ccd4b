"""What may be behind a token that MySQL has refused, in which order, and what hinders a client."""

from __future__ import annotations

import pytest

from sqlalchemy_rds_iam._databases import mysql_causes
from sqlalchemy_rds_iam._databases.mysql import MYSQL
from sqlalchemy_rds_iam._databases.token_causes import MOST, RefusedLogin
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint, parse_database_host

SAID = "Access denied for user 'App'@'10.0.0.1' (using password: YES)"


def login(host: str = "db.abc123.us-east-1.rds.amazonaws.com", **known: object) -> RefusedLogin:
    """What is known of a login."""
    endpoint = Endpoint(host, 3306, "App", "us-east-1")
    return RefusedLogin(endpoint, parse_database_host(host), key="MPLE")._replace(**known)


def names(known: RefusedLogin) -> list[str]:
    """The causes' names, each of which has a line of its own."""
    found = MYSQL.causes(known, SAID)
    assert len(found) <= MOST
    assert not any("rds_iam to" in cause.text.lower() for cause in found)
    return [cause.name for cause in found]


def test_a_first_login() -> None:
    """The account comes first, with its statement, or IAM that is off; then comes the policy."""
    assert names(login()) == ["account", "policy", "keys", "clock", "throttled"]
    [account, *_] = MYSQL.causes(login(), SAID)
    assert "in this very spelling" in account.text
    assert "IAM database authentication is off" in account.text
    assert (
        "CREATE USER 'App'@'%' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS' REQUIRE SSL"
        in account.text
    )


def test_a_user_who_was_let_in_before() -> None:
    """Then it is the keys, or throttling, before it is the account."""
    assert names(login(accepted=3600.0)) == ["keys", "account", "server", "policy", "throttled"]
    assert names(login(accepted=5.0)) == ["throttled", "keys", "account", "server", "policy"]


def test_what_is_certain_comes_first() -> None:
    """A host that is no endpoint, and keys without their session, are no guesses."""
    assert names(login("db.internal"))[0] == "host"
    assert names(login(lacks_session=True))[0] == "session"


def test_a_proxy() -> None:
    """A proxy has its own reasons, and knows nothing of the account's plugin."""
    found = names(login("p.proxy-abc123.us-east-1.rds.amazonaws.com"))
    assert found[:2] == ["proxy-auth", "proxy-secret"]
    assert "account" not in found


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("(1040, 'IAM authentication rate limit exceeded')", "throttled"),
        ("(1040, 'Number simultaneous connections exceeded (100)')", "proxy-full"),
        ("(3159, 'This RDS Proxy requires TLS connections.')", "proxy-tls"),
        ("(9501, 'Timed-out waiting to acquire database connection')", "proxy-waits"),
    ],
)
def test_at_the_proxy(said: str, name: str) -> None:
    """What the proxy says for itself is told with what to do about it."""
    [cause] = MYSQL.at_proxy("app", said)
    assert cause.name == name
    assert not MYSQL.at_proxy("app", SAID)


def test_hindrances() -> None:
    """A client without the plugin for tokens, or with it switched off, is told what helps."""
    off = "2059: Authentication plugin 'mysql_clear_password' cannot be loaded: plugin not enabled"
    assert "LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN=1" in " ".join(mysql_causes.hindrances(off, {}))
    gone = "Plugin mysql_clear_password could not be loaded: /x.so: cannot open shared object file"
    assert "libmariadb3" in " ".join(mysql_causes.hindrances(gone, {}))
    for other in (SAID, "Authentication plugin 'dialog' cannot be loaded", "mysql_clear_password"):
        assert not [*mysql_causes.hindrances(other, {})]
