"""What is behind a token that PostgreSQL on RDS, or RDS Proxy, has refused; by what the error says.

A user with the role ``rds_iam`` is let in by PAM, which asks IAM; any other has to know a password.
So the two refusals have nothing in common: "password authentication failed" (SQLSTATE 28P01) means
that IAM was not asked, "PAM authentication failed" (28000) that it was, and said no. RDS
Proxy has words of its own.

Sources: "Creating a database account using IAM authentication" and "Troubleshooting for RDS Proxy"
in the Amazon RDS User Guide; ``auth_failed`` in PostgreSQL's ``auth.c``.
"""

from __future__ import annotations

import re

from sqlalchemy_rds_iam._databases import token_causes
from sqlalchemy_rds_iam._databases.postgresql_grants import membership
from sqlalchemy_rds_iam._databases.token_causes import Cause, RefusedLogin

_PORT = 5432

# What RDS Proxy says, and what to do at the proxy. `{user}` is the database user.
_AT_THE_PROXY = (
    (
        "too many competing requests|Rate of connection to proxy exceeded",
        "throttled",
        "the proxy throttles logins that come too fast: use a pool, or a lower connect rate",
    ),
    (
        "has no credentials for the role|(?i:provide credentials for the role)",
        "proxy-secret",
        "the proxy has no secret of the user {user!r}: add one, or let the proxy log in by IAM",
    ),
    (
        "Enable IAM authentication|Configure IAM authentication|DefaultAuthScheme",
        "proxy-auth",
        "IAM authentication is not enabled at the proxy: set it to Required there",
    ),
    (
        "RDS supports only IAM, MD5, or SCRAM",
        "proxy-auth",
        "the proxy does not support how {user!r} is to log in: set IAM authentication to Required",
    ),
)

WANTED_A_PASSWORD = "password authentication failed|password that was provided"  # noqa: S105
"""What a server says that has not asked IAM (a pattern)."""


def refused(login: RefusedLogin, said: str) -> list[Cause]:
    """Why a token was refused, most likely first, without what the error's text rules out.

    Args:
        login: what is known of the login.
        said: the text of the driver's error.
    """
    if not re.search(WANTED_A_PASSWORD, said):
        causes = token_causes.by_iam(login, _PORT)
    elif login.host.is_proxy:
        causes = _proxy(login.endpoint.user)
    else:
        causes = [*_role(login), *token_causes.not_an_endpoint(login)]
    return causes[: token_causes.MOST]


def at_proxy(user: str, said: str) -> list[Cause]:
    """What has to be set at an RDS Proxy that answers in such words; nothing for other words."""
    found = (each for each in _AT_THE_PROXY if re.search(each[0], said))
    return [Cause(name, text.format(user=user)) for _, name, text in found][:1]


def _proxy(user: str) -> list[Cause]:
    """Why a proxy may have wanted a password. The role rds_iam is none of its business."""
    return [
        Cause(
            "proxy-auth",
            "IAM authentication is not set to Required at the proxy, which so takes the token for "
            "a password",
        ),
        Cause(
            "proxy-secret",
            f"the secret that the proxy has for {user!r} is about another user or password",
        ),
        Cause("user", f"the database has no user {user!r}, in this spelling"),
    ]


def _role(login: RefusedLogin) -> list[Cause]:
    """Why the server may have wanted a password."""
    user = login.endpoint.user
    names = f"no user {user!r}, in this very spelling, is a member of rds_iam"
    if login.accepted is not None:
        names = f"{user!r} is no longer a member of rds_iam"
    role = Cause("role", f"{names}: {membership(user)}")
    missing = Cause("user", f"there is no user {user!r} on this server: {_create(user)}")
    disabled = Cause(
        "disabled",
        "IAM database authentication is off for this instance or cluster: turn it on there",
    )
    if login.accepted is not None:
        return [role, disabled, missing]
    if user != user.lower():
        text = (
            f"the user is {user.lower()!r}, as PostgreSQL makes names lower-case that are created "
            "without quotes: spell it so in the URL"
        )
        return [Cause("spelling", text), role, missing, disabled]
    other = Cause("other", "a pooler, or another PostgreSQL, answers: its passwords are its own")
    return [role, missing, disabled, other]


def _create(user: str) -> str:
    return f"CREATE USER {membership(user).rpartition(' TO ')[2]}, then grant it rds_iam"
