"""Judge a presented IAM token: parse it, recompute its signature, look up who signed it.

Written from the AWS documentation alone ("Authenticating Requests: Using Query Parameters (AWS
Signature Version 4)" and the troubleshooting table of "IAM database authentication"), and sharing
no code with any signer: a mistake made twice in the same way would otherwise go unnoticed.

How long a token with an ``X-Amz-Expires`` below 900 is good for is not certain. For so many
seconds, says Signature Version 4, which defines the parameter. For 15 minutes all the same, says
the one measurement that is known (issue 2617 of aws-sdk-java, 2021). No AWS page about RDS says
either. Here it counts: what is let in here is to be let in there, and tokens of all SDKs say 900.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NoReturn
from urllib.parse import quote, unquote

from sqlalchemy_rds_iam.testing.aws.identities import AccessKey, Identities, Principal

MAX_AGE = 900.0
MAX_SKEW = 300.0

_ALGORITHM = "AWS4-HMAC-SHA256"
_SERVICE = "rds-db"
_EMPTY_PAYLOAD = hashlib.sha256(b"").hexdigest()
_REQUIRED = (
    "Action",
    "DBUser",
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
)

Reason = Literal[
    "InvalidToken",
    "ExpiredToken",
    "NotAuthorized",
    "ThrottlingException",
    "InternalError",
    # Not one of IAM's: the server never asked IAM, because the user is no member of rds_iam.
    "PasswordAuthentication",
]


@dataclass(frozen=True)
class SignedEndpoint:
    """What this database is, so what a token must have been signed for; `aliases`: more hosts."""

    host: str
    port: int
    region: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What was decided about one login, and why. Holds neither the token nor its signature.

    Attributes:
        time: Epoch seconds by the database's clock.
        db_user: The database user of the startup packet.
        granted: Whether the login was let in.
        reason: The error IAM would log (``iam-db-auth-error``), None when granted.
        detail: One plain sentence that names the exact mismatch.
        access_key: The id of the key that signed the token, as far as it could be read.
        principal: The ARN of the key's principal, once the key is known.
        method: What decided: IAM about a token, or the server about a password.
        in_clear: Whether the token came outside of TLS, where others may have read it.
    """

    time: float
    db_user: str
    granted: bool
    reason: Reason | None = None
    detail: str = ""
    access_key: str | None = None
    principal: str | None = None
    method: Literal["iam", "password"] = "iam"
    in_clear: bool = False


class _RefusedError(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail


def verify(
    token: str,
    db_user: str,
    endpoint: SignedEndpoint,
    identities: Identities,
    now: float,
    *,
    max_skew: float = MAX_SKEW,
) -> Decision:
    """Decide whether `token` lets its bearer connect as `db_user`.

    Args:
        token: The text the client sent as its password.
        db_user: The user named in the startup packet; it must equal the signed one exactly.
        endpoint: The host, port and region this database answers for.
        identities: The account's register of keys and policies.
        now: Epoch seconds by the database's clock.
        max_skew: How many seconds a token's date may lie in the future.
    """
    decision = Decision(now, db_user, granted=False)
    try:
        address, parameters = _parse(token)
        access_key, scope = _credential(parameters["X-Amz-Credential"])
        decision = replace(decision, access_key=access_key)
        _check_request(parameters, db_user)
        host = _check_address(address, endpoint)
        _check_scope(scope, parameters["X-Amz-Date"], endpoint.region)
        _check_time(parameters["X-Amz-Date"], parameters["X-Amz-Expires"], now, max_skew)
        key = identities.find(access_key)
        if key is None:
            _refuse(f"access key {_shown(access_key)} does not exist in this account")
        decision = replace(decision, principal=key.principal.arn)
        _check_key(key, parameters.get("X-Amz-Security-Token"), now)
        _check_signature(parameters, scope, f"{host}:{endpoint.port}", key.secret_key)
        _check_policy(key.principal, db_user)
    except _RefusedError as refused:
        return replace(decision, reason=refused.reason, detail=refused.detail)
    return replace(decision, granted=True, detail=f"signed by {access_key}")


def _refuse(detail: str) -> NoReturn:
    raise _RefusedError("InvalidToken", detail)


def _shown(value: str) -> str:
    """What a token claims, fit for a log line: it comes from outside and may be anything."""
    return repr(value if len(value) <= 100 else value[:100] + "…")  # noqa: PLR2004 - a line's worth


def _parse(token: str) -> tuple[str, dict[str, str]]:
    """Cut ``host:port/?name=value&…`` into its address and its decoded parameters."""
    # What failed to parse may be a user's password, so none of it is quoted in the details.
    address, separator, query = token.partition("/?")
    if not separator:
        _refuse("the password is not a token of the form host:port/?parameters")
    if not token.isascii():
        _refuse("the token holds characters that a URL cannot hold")
    parameters: dict[str, str] = {}
    for pair in query.split("&"):
        raw_name, equals, raw_value = pair.partition("=")
        try:
            name, value = unquote(raw_name, errors="strict"), unquote(raw_value, errors="strict")
        except UnicodeDecodeError:
            _refuse("a parameter of the token is not percent-encoded UTF-8")
        if not equals:
            _refuse("a parameter of the token has no value")
        if name in parameters:
            _refuse("the token repeats a parameter")
        parameters[name] = value
    for name in _REQUIRED:
        if name not in parameters:
            _refuse(f"the token lacks the parameter {name}")
    return address, parameters


def _credential(credential: str) -> tuple[str, list[str]]:
    access_key, *scope = credential.split("/")
    if len(scope) != 4:  # noqa: PLR2004 - date, region, service, terminator
        _refuse("X-Amz-Credential is not key/date/region/service/aws4_request")
    return access_key, scope


def _check_request(parameters: dict[str, str], db_user: str) -> None:
    for name, expected in (
        ("Action", "connect"),
        ("X-Amz-Algorithm", _ALGORITHM),
        ("X-Amz-SignedHeaders", "host"),
    ):
        if parameters[name] != expected:
            _refuse(f"{name} is {_shown(parameters[name])}, it must be {expected!r}")
    if parameters["DBUser"] != db_user:
        _refuse(f"signed for user {_shown(parameters['DBUser'])}, the login is as {db_user!r}")


def _check_address(address: str, endpoint: SignedEndpoint) -> str:
    host, _, port = address.rpartition(":")
    names = (endpoint.host, *endpoint.aliases)
    if host.lower() not in {name.lower() for name in names}:
        _refuse(f"signed for host {_shown(host)}, this is {' or '.join(map(repr, names))}")
    if port != str(endpoint.port):
        _refuse(f"signed for port {_shown(port)}, this is {endpoint.port}")
    return host.lower()


def _check_scope(scope: list[str], date: str, region: str) -> None:
    expected = [date[:8], region, _SERVICE, "aws4_request"]
    for what, given, wanted in zip(
        ("date", "region", "service", "terminator"), scope, expected, strict=True
    ):
        if given != wanted:
            _refuse(f"signed in the scope of {what} {_shown(given)}, it must be {_shown(wanted)}")


def _check_time(date: str, expires: str, now: float, max_skew: float) -> None:
    # strptime alone also takes blanks and single digits.
    if not re.fullmatch(r"[0-9]{8}T[0-9]{6}Z", date):
        _refuse(f"X-Amz-Date is {_shown(date)}, it must look like 20260131T235959Z")
    try:
        signed = datetime.strptime(date, "%Y%m%dT%H%M%S%z").timestamp()
    except ValueError:
        _refuse(f"X-Amz-Date is {_shown(date)}, which is no date")
    if not re.fullmatch(r"[1-9][0-9]{0,2}", expires) or int(expires) > MAX_AGE:
        _refuse(f"X-Amz-Expires is {_shown(expires)}, it must be 1 to {MAX_AGE:.0f} seconds")
    age, life = now - signed, min(MAX_AGE, int(expires))
    if age < -max_skew:
        _refuse(f"signed {-age:.0f} s in the future, more than {max_skew:.0f} s of clock skew")
    if age > MAX_AGE:
        raise _RefusedError(
            "ExpiredToken", f"token age is {age:.0f} s, which is longer than 15 minutes"
        )
    if age > life:
        raise _RefusedError(
            "ExpiredToken", f"token age is {age:.0f} s, and its X-Amz-Expires says {expires} s"
        )


def _check_key(key: AccessKey, session_token: str | None, now: float) -> None:
    if key.revoked:
        _refuse(f"access key {key.access_key} is revoked")
    if key.session_token is None and session_token is not None:
        _refuse(f"access key {key.access_key} is long-term, yet the token has a session token")
    if key.session_token is not None:
        if session_token is None:
            _refuse(f"access key {key.access_key} is temporary, yet the token has no session token")
        if not hmac.compare_digest(key.session_token.encode(), session_token.encode()):
            _refuse(f"the session token is not that of access key {key.access_key}")
    if key.expires_at is not None and now >= key.expires_at:
        raise _RefusedError(
            "ExpiredToken",
            f"access key {key.access_key} expired {now - key.expires_at:.0f} s ago",
        )


def _check_policy(principal: Principal, db_user: str) -> None:
    if not principal.may_connect_as(db_user):
        raise _RefusedError(
            "NotAuthorized",
            f"{principal.arn} has no rds-db:connect permission for user {db_user!r}",
        )


def _check_signature(
    parameters: dict[str, str], scope: list[str], address: str, secret_key: str
) -> None:
    # https: some SDKs sign its Host without the port.
    hosts = {address, address.removesuffix(":443")}
    expected = [_signature(parameters, scope, header, secret_key) for header in hosts]
    given = parameters["X-Amz-Signature"].encode()
    # A list, so that every candidate is compared whichever of them matches.
    if not any([hmac.compare_digest(each.encode(), given) for each in expected]):  # noqa: C419
        _refuse("the signature does not match: another secret key, or the token was altered")


def _signature(
    parameters: dict[str, str], scope: list[str], host_header: str, secret_key: str
) -> str:
    encoded = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in parameters.items()
        if name != "X-Amz-Signature"
    )
    canonical_request = "\n".join(
        (
            "GET",
            "/",
            "&".join(f"{name}={value}" for name, value in encoded),
            f"host:{host_header}",
            "",
            "host",
            _EMPTY_PAYLOAD,
        )
    )
    string_to_sign = "\n".join(
        (
            _ALGORITHM,
            parameters["X-Amz-Date"],
            "/".join(scope),
            hashlib.sha256(canonical_request.encode()).hexdigest(),
        )
    )
    key = b"AWS4" + secret_key.encode()
    for part in (*scope, string_to_sign):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()
