"""Credentials + endpoint + now → token: AWS Signature Version 4 as a presigned query. Pure.

Source: "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)" in the Amazon S3
API reference, and "Creating and using an IAM policy for IAM database access" in the RDS user guide
for the action and the service name.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam._masking import keep_secret
from sqlalchemy_rds_iam._passwords.expiry import (
    CHEAP_PAUSE,
    LONGEST_MARGIN,
    LONGEST_PAUSE,
    LONGEST_RENEWAL,
    Lifetimes,
)
from sqlalchemy_rds_iam._passwords.identity import Identity
from sqlalchemy_rds_iam._passwords.password import IssuedPassword, MaskedStr
from sqlalchemy_rds_iam.errors import CredentialsError

TOKEN_LIFE = 900.0
"""Seconds that RDS accepts a token for; more is refused, less is not shortened to."""

# So much of an access key id is told, of one that is so long.
_SHOWN, _LONG = 4, 16

_ALGORITHM = "AWS4-HMAC-SHA256"
_EMPTY_BODY = hashlib.sha256(b"").hexdigest()
_HTTPS_PORT = 443

# Botocore's names of the providers that read the environment or a file: reading again costs no
# call of STS, of which an account may make some hundred a second.
_CHEAP = {"env", "shared-credentials-file", "config-file", "ec2-credentials-file", "boto-config"}


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Credentials:
    """A snapshot of AWS credentials, all parts from the same moment.

    Attributes:
        expires_at: epoch seconds, or None when unknown (long-term keys, or temporary ones that
            were handed over without their expiry).
        provider: botocore's name of the provider they came from, such as ``env`` or ``iam-role``.
    """

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    expires_at: float | None = None
    provider: str = "unknown"

    def __post_init__(self) -> None:
        keep_secret(self)

    def secrets(self) -> tuple[str | None, ...]:
        """What must not be shown."""
        return self.secret_key, self.session_token

    def identity(self) -> Identity:
        """Who signs with them."""
        # Made-up ids may be so short that both ends are all of it.
        start = self.access_key[:_SHOWN] if len(self.access_key) >= _LONG else ""
        return Identity(f"{start}…{self.access_key[-_SHOWN:]}", self.provider)

    def lifetimes(self, now: float) -> Lifetimes:
        """When to renew them and when to stop using them, if they were fetched `now`.

        Raises:
            CredentialsError: they have expired.
        """
        longest_pause = CHEAP_PAUSE if self.provider in _CHEAP else LONGEST_PAUSE
        if self.expires_at is None:
            return Lifetimes(float("inf"), float("inf"), longest_pause)
        life = self.expires_at - now
        if life <= 0:
            raise CredentialsError(
                f"the credentials from {self.provider!r} had expired {abs(life):.0f} s before they "
                "arrived; is the clock right?",
                retryable=True,
            )
        return Lifetimes(
            self.expires_at - min(life / 3, LONGEST_RENEWAL),
            self.expires_at - min(life / 10, LONGEST_MARGIN),
            longest_pause,
        )


def sign(credentials: Credentials, endpoint: Endpoint, now: float) -> IssuedPassword:
    """Sign a token that lets `endpoint.user` log in at `endpoint`.

    The text is what botocore's ``generate_db_auth_token`` yields, byte for byte. It is accepted
    until the earlier of `now` + 900 s and the expiry of the credentials behind it ("IAM database
    authentication for MariaDB, MySQL, and PostgreSQL" in the RDS user guide).

    Args:
        credentials: who signs.
        endpoint: what is signed; the host is used as it is, so it has to be normalised before.
        now: epoch seconds on the wall clock; the server compares it with its own.
    """
    # botocore cuts fractions off, so the life is counted from the whole second.
    signed_at = float(int(now))
    stamp = datetime.fromtimestamp(signed_at, UTC).strftime("%Y%m%dT%H%M%SZ")
    day = stamp[:8]
    scope = f"{day}/{endpoint.region}/rds-db/aws4_request"
    parameters = {
        "Action": "connect",
        "DBUser": endpoint.user,
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(int(TOKEN_LIFE)),
        "X-Amz-SignedHeaders": "host",
    }
    if credentials.session_token:
        parameters["X-Amz-Security-Token"] = credentials.session_token
    pairs = [f"{key}={quote(value, safe='-_.~')}" for key, value in parameters.items()]

    host = endpoint.host.lower()
    if endpoint.port != _HTTPS_PORT:  # the default port of the scheme is no part of a Host header
        host = f"{host}:{endpoint.port}"
    request = f"GET\n/\n{'&'.join(sorted(pairs))}\nhost:{host}\n\nhost\n{_EMPTY_BODY}"
    digest = hashlib.sha256(request.encode()).hexdigest()
    to_sign = f"{_ALGORITHM}\n{stamp}\n{scope}\n{digest}"

    key = f"AWS4{credentials.secret_key}".encode()
    for part in (day, endpoint.region, "rds-db", "aws4_request", to_sign):
        # hmac.digest() would let go of Python's global lock, in the middle of OpenSSL: locks of its
        # would be locked for ever in a process that is forked just then.
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    text = f"{endpoint.host}:{endpoint.port}/?{'&'.join(pairs)}&X-Amz-Signature={key.hex()}"

    end = signed_at + TOKEN_LIFE
    if credentials.expires_at is not None:
        end = min(end, credentials.expires_at)
    return IssuedPassword(MaskedStr(text), signed_at, end)
