"""What is behind a token that MySQL or MariaDB on RDS, or RDS Proxy, has refused.

The server asks IAM for users that were created ``WITH AWSAuthenticationPlugin``; any other user
has a password to know. It says the same, 1045, in both cases.

Sources: "Creating a database account using IAM authentication", "Troubleshooting for IAM database
authentication" and "Troubleshooting for RDS Proxy" in the Amazon RDS User Guide.
"""

from __future__ import annotations

import re

from sqlalchemy_rds_iam._databases import token_causes
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
    causes = token_causes.by_iam(login, _PORT)
    return causes[: token_causes.MOST]


def at_proxy(user: str, said: str) -> list[Cause]:
    """What has to be set at an RDS Proxy that answers in such words; nothing for other words."""
    found = (each for each in _AT_THE_PROXY if re.search(each[0], said))
    return [Cause(name, text.format(user=user)) for _, name, text in found][:1]
