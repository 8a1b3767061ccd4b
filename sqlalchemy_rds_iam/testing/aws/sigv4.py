"""Who signed this request? AWS Signature Version 4, header form, from the verifier's side.

Written from "Create a signed AWS API request" in the IAM User Guide and sharing nothing with
botocore, so that independent code checks what botocore signs. The refusals carry STS's wording.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote, unquote_to_bytes

from sqlalchemy_rds_iam.testing.aws.identities import AccessKey, Identities
from sqlalchemy_rds_iam.testing.aws.service import AwsError, Call

_ALGORITHM = "AWS4-HMAC-SHA256"
_TERMINATOR = "aws4_request"
_BASIC_FORMAT = "%Y%m%dT%H%M%SZ"
_UNRESERVED = "-._~"


@dataclass(frozen=True)
class Authorization:
    """The parts of an ``Authorization`` header: the credential scope, signed headers, signature."""

    access_key: str
    date: str
    region: str
    service: str
    terminator: str
    signed_headers: tuple[str, ...]
    signature: str

    @property
    def scope(self) -> str:
        """The credential scope, as it stands in the string to sign."""
        return f"{self.date}/{self.region}/{self.service}/{self.terminator}"


def authorization(call: Call) -> Authorization | None:
    """The parsed ``Authorization`` header of `call`; None when it has none.

    Raises:
        AwsError: The header is not a complete SigV4 one (``IncompleteSignature``).
    """
    text = call.header("Authorization")
    if text is None:
        return None
    algorithm, _, rest = text.partition(" ")
    found = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    missing = [name for name in ("Credential", "SignedHeaders", "Signature") if not found.get(name)]
    if algorithm != _ALGORITHM or missing:
        wants = " ".join(f"Authorization header requires '{name}' parameter." for name in missing)
        raise _incomplete(wants or f"Unsupported AWS 'algorithm', only {_ALGORITHM} is known.")
    match found["Credential"].rsplit("/", 4):
        case [access_key, date, region, service, terminator]:
            signed = tuple(found["SignedHeaders"].split(";"))
            scope = (date, region, service, terminator)
            return Authorization(access_key, *scope, signed, found["Signature"])
        case _:
            raise _incomplete("Credential must have exactly 5 slash-delimited elements.")


def claimed_key(call: Call) -> str | None:
    """The access key id in the ``Authorization`` header, whether it is right or not."""
    try:
        claim = authorization(call)
    except AwsError:
        return None
    return None if claim is None else claim.access_key


def authenticate(
    call: Call, identities: Identities, *, service: str, clock_skew: float
) -> AccessKey:
    """The key `call` is signed with.

    Args:
        call: The request, exactly as it was received.
        identities: The keys there are, and the clock to judge by.
        service: The service the credential scope must name.
        clock_skew: The seconds the signing time may differ from the clock.

    Raises:
        AwsError: The request is unsigned, wrongly signed, out of date, or its key is unknown,
            revoked or expired.
    """
    claim = authorization(call)
    if claim is None:
        raise AwsError(403, "MissingAuthenticationToken", "Request is missing Authentication Token")
    key = identities.find(claim.access_key)
    session_token = call.header("X-Amz-Security-Token")
    # A revoked session is still a valid one, only its permissions are denied; a revoked long-term
    # key is a deleted one.
    deleted = key is not None and key.revoked and key.session_token is None
    if key is None or deleted or session_token != key.session_token:
        raise AwsError(
            403, "InvalidClientTokenId", "The security token included in the request is invalid."
        )
    now = identities.clock()
    if key.expires_at is not None and now >= key.expires_at:
        raise AwsError(403, "ExpiredToken", "The security token included in the request is expired")
    signed_at = _signing_time(call)
    _check_time(signed_at, now, clock_skew)
    _check_scope(claim, signed_at, service)
    _check_signed_headers(claim, call)
    if not hmac.compare_digest(
        claim.signature.encode("utf-8", "surrogateescape"),
        signature(key.secret_key, claim, signed_at, call).encode(),
    ):
        raise _mismatch(
            "The request signature we calculated does not match the signature you provided. Check "
            "your AWS Secret Access Key and signing method. Consult the service documentation for "
            "details."
        )
    return key


def signature(secret_key: str, claim: Authorization, signed_at: datetime, call: Call) -> str:
    """The signature, in hex, that `call` must carry under the scope `claim` names."""
    canonical = canonical_request(call, claim.signed_headers)
    digest = hashlib.sha256(canonical).hexdigest()
    to_sign = "\n".join((_ALGORITHM, signed_at.strftime(_BASIC_FORMAT), claim.scope, digest))
    key = b"AWS4" + secret_key.encode()
    for part in (*claim.scope.split("/"), to_sign):
        key = hmac.digest(key, part.encode("utf-8", "surrogateescape"), "sha256")
    return key.hex()


def canonical_request(call: Call, signed_headers: tuple[str, ...]) -> bytes:
    """The canonical request: method, URI, query, headers, names of headers, hash of the body."""
    headers = []
    for name in signed_headers:
        values = [value for key, value in call.headers if key.lower() == name]
        headers.append(f"{name}:{','.join(' '.join(value.split()) for value in values)}\n")
    lines = (
        call.method,
        _canonical_path(call.path),
        _canonical_query(call.query),
        "".join(headers),
        ";".join(signed_headers),
        hashlib.sha256(call.body).hexdigest(),
    )
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def _canonical_path(path: str) -> str:
    """Dot segments and doubled slashes removed (RFC 3986), then encoded once more."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    normal = "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")
    return quote(normal, safe="/" + _UNRESERVED, errors="surrogateescape")


def _canonical_query(query: str) -> str:
    pairs = []
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        pairs.append(tuple(quote(unquote_to_bytes(x), safe=_UNRESERVED) for x in (name, value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _signing_time(call: Call) -> datetime:
    text = call.header("X-Amz-Date") or call.header("Date")
    if text is None:
        raise _incomplete(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        )
    try:
        if re.fullmatch(r"\d{8}T\d{6}Z", text, re.ASCII):
            return datetime.strptime(text, _BASIC_FORMAT).replace(tzinfo=UTC)
        return parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _incomplete(f"Date must be in ISO-8601 'basic format'. Got '{text}'.") from None


def _check_time(signed_at: datetime, now: float, skew: float) -> None:
    if abs(signed_at.timestamp() - now) <= skew:
        return
    late = signed_at.timestamp() < now
    signed, current, bound = (
        datetime.fromtimestamp(moment, UTC).strftime(_BASIC_FORMAT)
        for moment in (signed_at.timestamp(), now, now - skew if late else now + skew)
    )
    if late:
        raise _mismatch(
            f"Signature expired: {signed} is now earlier than {bound} "
            f"({current} - {skew / 60:g} min.)"
        )
    raise _mismatch(
        f"Signature not yet current: {signed} is still later than {bound} "
        f"({current} + {skew / 60:g} min.)"
    )


def _check_scope(claim: Authorization, signed_at: datetime, service: str) -> None:
    if claim.terminator != _TERMINATOR:
        raise _mismatch(
            f"Credential should be scoped with a valid terminator: '{_TERMINATOR}', not "
            f"'{claim.terminator}'."
        )
    if claim.service != service:
        raise _mismatch(f"Credential should be scoped to correct service: '{service}'.")
    date = signed_at.strftime("%Y%m%d")
    if claim.date != date:
        raise _mismatch(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from "
            f"HTTP: '{claim.date}' != '{date}', from '{signed_at.strftime(_BASIC_FORMAT)}'."
        )


def _check_signed_headers(claim: Authorization, call: Call) -> None:
    """What SigV4 requires to be signed: the host, and every ``x-amz-*`` header sent."""
    names = {key.lower() for key, _ in call.headers}
    for name in sorted({"host"} | {name for name in names if name.startswith("x-amz-")}):
        if name not in claim.signed_headers:
            raise _mismatch(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")


def _incomplete(message: str) -> AwsError:
    return AwsError(400, "IncompleteSignature", message)


def _mismatch(message: str) -> AwsError:
    return AwsError(403, "SignatureDoesNotMatch", message)
