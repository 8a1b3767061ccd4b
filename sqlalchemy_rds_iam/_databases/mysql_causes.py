"""What is behind a token that MySQL or MariaDB on RDS, or RDS Proxy, has refused.

The server asks IAM for users that were created ``WITH AWSAuthenticationPlugin``; any other user
has a password to know. It says the same, 1045, in both cases.

Sources: "Creating a database account using IAM authentication", "Troubleshooting for IAM database
authentication" and "Troubleshooting for RDS Proxy" in the Amazon RDS User Guide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy_rds_iam._databases import mysql_errors, token_causes
from sqlalchemy_rds_iam._databases.mysql_grants import IDENTIFIED, account
from sqlalchemy_rds_iam._databases.mysql_words import CLEAR_TEXT
from sqlalchemy_rds_iam._databases.token_causes import Cause, RefusedLogin

_PORT = 3306

# What RDS Proxy says, and what to do at the proxy. `{user}` is the database user.
_AT_THE_PROXY = (
    (
        "rate limit exceeded",
        "throttled",
        "the proxy throttles logins that come too fast: use a pool, or a lower connect rate",
    ),
    (
        "requires TLS connections",
        "proxy-tls",
        "the proxy takes no connections without TLS: this one came without",
    ),
    (
        "simultaneous connections exceeded",
        "proxy-full",
        "the proxy has all the client connections that it may have: use fewer, or a larger proxy",
    ),
    (
        "Timed-out waiting to acquire database connection",
        "proxy-waits",
        "the proxy has found no free connection to the database in time: look at what holds them",
    ),
)


def refused(login: RefusedLogin, said: str) -> list[Cause]:
    """Why a token was refused, most likely first.

    Args:
        login: what is known of the login.
        said: the text of the driver's error, which is the same for every reason.
    """
    del said
    at_server = _at_the_proxy(login) if login.host.is_proxy else _account(login)
    return token_causes.by_iam(login, _PORT, at_server)[: token_causes.MOST]


def _account(login: RefusedLogin) -> list[Cause]:
    """What may be wrong with the user, of whom the server has to know that IAM is to be asked."""
    user = login.endpoint.user
    if login.accepted is not None:
        text = f"{user!r} was dropped, or is no longer identified by AWSAuthenticationPlugin"
        return [Cause("account", text)]
    text = (
        f"there is no user {user!r}, in this very spelling, that was created for IAM "
        f"(CREATE USER {account(user)} {IDENTIFIED} REQUIRE SSL), or IAM database authentication "
        "is off for this instance or cluster"
    )
    return [Cause("account", text)]


def _at_the_proxy(login: RefusedLogin) -> list[Cause]:
    user = login.endpoint.user
    auth = (
        "IAM authentication is not set to Required at the proxy, which so takes the token for a "
        "password"
    )
    secret = (
        f"the proxy has no secret of the user {user!r}, or one with another password: add it, or "
        "let the proxy log in by IAM"
    )
    return [Cause("proxy-auth", auth), Cause("proxy-secret", secret)]


def at_proxy(user: str, said: str) -> list[Cause]:
    """What has to be set at an RDS Proxy that answers in such words; nothing for other words."""
    found = (each for each in _AT_THE_PROXY if re.search(each[0], said))
    return [Cause(name, text.format(user=user)) for _, name, text in found][:1]


def hindrances(said: str, _cparams: Mapping[str, Any]) -> Iterator[str]:
    """What keeps a client from handing over a token; nothing for other words.

    Args:
        said: the text of the driver's error.
    """
    if not re.search(mysql_errors.NO_PLUGIN, said) or CLEAR_TEXT not in said:
        return
    if "not enabled" in said or "2059" in said:
        yield f"the client library has the plugin {CLEAR_TEXT}, which sends tokens, switched off:"
        yield "set LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN=1 in the environment of this process"
    else:
        yield f"the client library has no plugin {CLEAR_TEXT}, which sends tokens: install it"
        yield "(on Debian it is in libmariadb3, in /usr/lib/x86_64-linux-gnu/libmariadb3/plugin)"
        yield "if it is elsewhere, name its directory: for mysqlclient by MARIADB_PLUGIN_DIR in the"
        yield "environment of this process, for MariaDB Connector/Python by the argument plugin_dir"
