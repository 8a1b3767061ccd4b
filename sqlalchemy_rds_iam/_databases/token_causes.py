"""What may be behind a refused token, as far as it is the same for every database: a line each.

IAM says no in one and the same words for every reason ("Troubleshooting for IAM database
authentication" in the Amazon RDS User Guide). What orders the reasons is what only the client
knows: who signed what, when, and whether the server has let this user in before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy_rds_iam._endpoints.hostname import Endpoint, HostName

MOST = 5
"""How many causes are named: further ones are for the doctor."""

_JUST_NOW = 60.0
"""Seconds after an accepted login for which a refusal is throttling before anything else."""

_NEARLY = 120.0
"""Seconds to the end of a session in which a clock that is slightly off already ends it."""

_RESOURCE_IDS = {
    "instance": "db-…",
    "cluster": "cluster-…",
    "cluster-ro": "cluster-…",
    "cluster-custom": "cluster-…",
    "proxy": "prx-…",
    "proxy-endpoint": "prx-…",
}


class Cause(NamedTuple):
    """One thing that may be behind a refusal.

    Attributes:
        name: a short name that stays the same, see the table in the troubleshooting page.
        text: one line: what is wrong, and what to do about it.
    """

    name: str
    text: str


class RefusedLogin(NamedTuple):
    """What this process knows about a login whose token was refused.

    Attributes:
        endpoint: what the token was signed for.
        host: that endpoint's parsed name.
        dialled: the host connected to, if it is another one.
        checks_name: whether the certificate has proved that `host` answers.
        accepted: seconds since the server has accepted a login of this user; None if it never has.
        tried: seconds for which it was tried again, as it might have been throttled.
        is_hasty: whether that could have been longer, and nothing shares the rate with others.
        key: the end of the access key's id; empty if the keys are gone by now.
        provider: botocore's name of where the keys came from.
        is_temporary: whether a session token belongs to the keys.
        lacks_session: whether these keys need a session token, and came without.
        expires_in: seconds to the end of the session, as far as it is known.
    """

    endpoint: Endpoint
    host: HostName
    dialled: str | None = None
    checks_name: bool = True
    accepted: float | None = None
    tried: float = 0.0
    is_hasty: bool = False
    key: str = ""
    provider: str = ""
    is_temporary: bool = False
    lacks_session: bool = False
    expires_in: float | None = None

    @property
    def is_hopeless(self) -> bool:
        """Whether the keys cannot be good, however busy the server is."""
        return self.lacks_session or (self.expires_in is not None and self.expires_in <= 0)


def by_iam(login: RefusedLogin, port: int, at_server: Sequence[Cause] = ()) -> list[Cause]:
    """Why IAM may have refused the token, most likely first.

    Args:
        login: what is known.
        port: the port where servers of this kind listen by default.
        at_server: what may be wrong with the user at the server, where that says the same of it.
    """
    known = [*_certain(login), *_signed_for(login, port)]
    tunnel = [_port(login, port)] if login.dialled is not None else []
    common = [CLOCK, AT_ONCE if login.is_hasty else THROTTLED, TROUBLE]
    if login.is_hasty and not known and not tunnel:
        # One of many that start at once is more likely throttled than a clock is wrong; and there
        # are not many with what is as unusual as that.
        common = [AT_ONCE, CLOCK, TROUBLE]
    if login.accepted is None and login.is_temporary and login.expires_in is None:
        # They were pasted in, or written into a file, which nothing does anew.
        rest = [*at_server, *_keys(login), _policy(login), *tunnel, *common]
    elif login.accepted is None:
        rest = [*at_server, _policy(login), *_keys(login), *tunnel, *common]
    elif login.accepted < _JUST_NOW:
        rest = [THROTTLED, *_keys(login), *at_server, TROUBLE, _policy(login), CLOCK]
    else:
        rest = [*_keys(login), *at_server, TROUBLE, _policy(login), THROTTLED, CLOCK]
    return _without_doubles([*known, *rest])


def not_an_endpoint(login: RefusedLogin) -> list[Cause]:
    """That the token was signed for a name which RDS does not know, where that is so."""
    host = login.host
    if host.partition is not None:
        return []
    text = (
        f"{host.host!r} is not the name of an RDS endpoint, and RDS accepts only tokens that are "
        "signed for its own name: set rds_iam_host"
    )
    return [Cause("host", text)]


THROTTLED = Cause(
    "throttled",
    "RDS throttles logins that come too fast, in the same words: use a pool, or a lower "
    "rds_iam_connect_rate",
)
AT_ONCE = Cause(
    "throttled",
    "RDS throttles logins that come too fast, in the same words: where many processes start at "
    "once, set rds_iam_throttle_retry=patient, or rds_iam_rate_storage",
)
CLOCK = Cause(
    "clock",
    "this machine's clock is wrong by more than five minutes: compare it with a time server's",
)
TROUBLE = Cause(
    "server",
    "the server cannot reach IAM, or is restarting (a Multi-AZ cluster says the same then): try "
    "again in a minute",
)


def _certain(login: RefusedLogin) -> list[Cause]:
    if login.lacks_session:
        text = (
            f"access key …{login.key} is a temporary one, and the session token that belongs to it "
            f"is missing: set {_session_token(login)}"
        )
        return [Cause("session", text)]
    if login.expires_in is not None and login.expires_in < _NEARLY:
        return [_session(login)]
    return []


def _signed_for(login: RefusedLogin, port: int) -> list[Cause]:
    """What of the signed endpoint is unusual enough to come first."""
    endpoint, host = login.endpoint, login.host
    found = not_an_endpoint(login)
    if host.kind == "global-writer":
        text = (
            f"the token is signed for {endpoint.region}: rds_iam_region has to be the region of "
            "the global database's primary cluster"
        )
        found.append(Cause("region", text))
    if login.accepted is not None:
        return found
    if endpoint.port != port and login.dialled is not None:
        found.append(_port(login, port))
    if login.dialled is not None and not login.checks_name:
        text = (
            f"rds_iam_tls does not check who answers: {login.dialled!r} leads to another database "
            f"than {host.host!r}, or what is between them cuts the token short"
        )
        found.append(Cause("host", text))
    return found


def _port(login: RefusedLogin, port: int) -> Cause:
    signed = login.endpoint.port
    text = f"the database listens at another port than {signed}: set rds_iam_port to that port"
    if signed != port:
        text = (
            f"the token is signed for port {signed}, which is the tunnel's: set rds_iam_port to "
            f"the port where the database listens, mostly {port}"
        )
    return Cause("port", text)


def _policy(login: RefusedLogin) -> Cause:
    resource = _RESOURCE_IDS.get(login.host.kind, "resource id")
    what = f"no policy allows rds-db:connect on dbuser:<{resource}>/{login.endpoint.user}"
    compare = "compare resource id, account, region and case"
    if login.is_temporary or not login.key:
        return Cause("policy", f"{what} for these keys: {compare}")
    # Nothing tells the two apart, as long-term keys are not checked when they are read.
    text = f"{what} ({compare}), or access key …{login.key} is revoked, or its secret key wrong"
    return Cause("policy", text)


def _keys(login: RefusedLogin) -> list[Cause]:
    if not login.is_temporary:
        text = "the keys are of another account than the database: use keys, or a role, of its own"
        if login.accepted is not None:
            key = f"access key …{login.key}" if login.key else "the access key"
            text = f"{key} was revoked, or replaced: renew the keys"
        return [Cause("keys", text)]
    text = (
        f"access key …{login.key} was revoked, has another secret key, or is of another account: "
        "renew the keys"
    )
    keys = Cause("keys", text)
    # Whose end is known was checked, by this machine's clock.
    if login.expires_in is None:
        return [_session(login), keys]
    return [keys, _session(login)]


def _session(login: RefusedLogin) -> Cause:
    if login.expires_in is None:
        text = (
            f"the session token from {login.provider!r} has expired, was cut short, or belongs to "
            "other keys: take new credentials"
        )
    else:
        text = (
            f"the session from {login.provider!r} was ended early, or its token was cut short "
            f"(it should last {max(login.expires_in, 0):.0f} s more): take new credentials"
        )
    return Cause("session", text)


def _session_token(login: RefusedLogin) -> str:
    return "AWS_SESSION_TOKEN" if login.provider == "env" else "aws_session_token"


def _without_doubles(causes: list[Cause]) -> list[Cause]:
    found: dict[str, Cause] = {}
    for cause in causes:
        found.setdefault(cause.name, cause)
    return list(found.values())
