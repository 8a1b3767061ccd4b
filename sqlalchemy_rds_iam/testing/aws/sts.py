"""AWS Security Token Service: the operations the library and the SDK's credential chain use.

Sources: the AWS STS API Reference (AssumeRole, AssumeRoleWithWebIdentity, GetCallerIdentity,
Common Errors) for parameters, XML and limits; error sentences are those the service is known to
send.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
import uuid
from collections.abc import Mapping
from urllib.parse import parse_qsl

from aiohttp import web

from sqlalchemy_rds_iam.testing.aws.identities import AccessKey, Identities, Principal
from sqlalchemy_rds_iam.testing.aws.service import AwsError, Call, Service, timestamp
from sqlalchemy_rds_iam.testing.aws.sigv4 import authenticate, claimed_key

_VERSION = "2011-06-15"
_NAMESPACE = f"https://sts.amazonaws.com/doc/{_VERSION}/"
_SHORTEST, _LONGEST = 900, 43200
_LONGEST_CHAINED = 3600
_OPERATIONS = ("AssumeRole", "AssumeRoleWithWebIdentity", "GetCallerIdentity")
_LIMITS = {
    "RoleArn": (20, 2048, r"[\t\n\r\x20-\x7e\x85\xa0-\U0010ffff]+"),
    "RoleSessionName": (2, 64, r"[\w+=,.@-]*"),
    "ExternalId": (2, 1224, r"[\w+=,.@:\/-]*"),
    "WebIdentityToken": (4, 20000, r"[\s\S]*"),
}

Tree = Mapping[str, "Tree | str"]


class Sts(Service):
    """AWS STS. Any principal of the account may assume any role until `trust` says otherwise.

    Attributes:
        lifetime: Seconds the keys it issues live, whatever DurationSeconds asks for; None obeys.
        max_session_duration: The roles' MaxSessionDuration, in seconds.
        clock_skew: Seconds a signing time may be off. Five minutes is what the SigV4 documentation
            promises; STS itself has been seen to allow fifteen.
        web_identity_tokens: The tokens AssumeRoleWithWebIdentity accepts.
    """

    name = "STS"

    def __init__(self, identities: Identities) -> None:
        super().__init__(identities)
        self.lifetime: float | None = None
        self.max_session_duration = _LONGEST
        self.clock_skew = 300.0
        self.web_identity_tokens: set[str] = set()
        self._trusted: dict[str, frozenset[str]] = {}
        self._session_names: dict[str, str] = {}

    def trust(self, role: Principal, *callers: Principal) -> None:
        """Let only `callers` assume `role`; without any, no caller may, not even a web identity."""
        self._trusted[role.arn] = frozenset(caller.arn for caller in callers)

    def operation(self, call: Call) -> str:
        """The Action asked for, or Unknown."""
        action = _parameters(call).get("Action", "")
        return action if action in _OPERATIONS else "Unknown"

    def caller(self, call: Call) -> str | None:
        """The access key id in the Authorization header."""
        return claimed_key(call)

    def answer(self, call: Call) -> web.Response:
        """Perform the Action of an AWS Query request."""
        parameters = _parameters(call)
        action = parameters.get("Action", "")
        if action not in _OPERATIONS or parameters.get("Version") != _VERSION:
            raise AwsError(
                400,
                "InvalidAction",
                f"Could not find operation {action} for version {parameters.get('Version')}",
            )
        if action == "AssumeRoleWithWebIdentity":
            result = self._assume_role_with_web_identity(parameters)
        else:
            key = authenticate(call, self._identities, service="sts", clock_skew=self.clock_skew)
            result = (
                self._caller_identity(key)
                if action == "GetCallerIdentity"
                else self._assume_role(key, parameters)
            )
        request_id = str(uuid.uuid4())
        return _xml(
            200,
            f"{action}Response",
            {f"{action}Result": result, "ResponseMetadata": {"RequestId": request_id}},
            request_id,
        )

    def refusal(self, error: AwsError) -> web.Response:
        """The XML of the Query protocol's errors."""
        request_id = str(uuid.uuid4())
        fault = "Sender" if error.status < 500 else "Receiver"  # noqa: PLR2004  5xx: theirs
        detail = {"Type": fault, "Code": error.code, "Message": error.message}
        tree: Tree = {"Error": detail, "RequestId": request_id}
        return _xml(error.status, "ErrorResponse", tree, request_id)

    def _assume_role(self, caller: AccessKey, parameters: Mapping[str, str]) -> Tree:
        arn = _required(parameters, "RoleArn")
        session_name = _required(parameters, "RoleSessionName")
        external_id = _checked(parameters, "ExternalId")
        duration = self._duration(parameters)
        denied = (
            f"User: {self.arn_of(caller)} is not authorized to perform: sts:AssumeRole on "
            f"resource: {arn}"
        )
        if caller.revoked:
            raise AwsError(
                403, "AccessDenied", denied + " with an explicit deny in an identity-based policy"
            )
        role = self._identities.principal(arn)
        # A trust policy that names no external id does not mind being given one.
        if (
            role is None
            or ":role/" not in arn
            or caller.principal.arn not in self._trusted.get(arn, {caller.principal.arn})
            or role.external_id not in (None, external_id)
        ):
            raise AwsError(403, "AccessDenied", denied)
        if caller.session_token is not None and duration > _LONGEST_CHAINED:
            raise _invalid(
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed "
                "by role chaining"
            )
        return self._session(role, session_name, duration)

    def _assume_role_with_web_identity(self, parameters: Mapping[str, str]) -> Tree:
        arn = _required(parameters, "RoleArn")
        session_name = _required(parameters, "RoleSessionName")
        token = _required(parameters, "WebIdentityToken")
        duration = self._duration(parameters)
        if token not in self.web_identity_tokens:
            raise AwsError(
                400,
                "InvalidIdentityToken",
                "The web identity token that was passed could not be validated by AWS.",
            )
        role = self._identities.principal(arn)
        if role is None or ":role/" not in arn or arn in self._trusted:
            raise AwsError(
                403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"
            )
        return self._session(role, session_name, duration)

    def _caller_identity(self, key: AccessKey) -> Tree:
        arn = key.principal.arn
        return {"Arn": self.arn_of(key), "UserId": self._user_id(key), "Account": arn.split(":")[4]}

    def _session(self, role: Principal, session_name: str, duration: int) -> Tree:
        key = self._identities.issue(role, duration if self.lifetime is None else self.lifetime)
        self._session_names[key.access_key] = session_name
        return {
            "AssumedRoleUser": {"AssumedRoleId": self._user_id(key), "Arn": self.arn_of(key)},
            "Credentials": {
                "AccessKeyId": key.access_key,
                "SecretAccessKey": key.secret_key,
                "SessionToken": key.session_token or "",
                "Expiration": timestamp(key.expires_at or 0.0),
            },
        }

    def _duration(self, parameters: Mapping[str, str]) -> int:
        text = parameters.get("DurationSeconds", "3600")
        if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
            raise AwsError(400, "MalformedInput", "DurationSeconds must be an integer")
        duration = int(text)
        if not _SHORTEST <= duration <= _LONGEST:
            bound = (
                f"less than or equal to {_LONGEST}"
                if duration > _LONGEST
                else f"greater than or equal to {_SHORTEST}"
            )
            raise _unmet("DurationSeconds", text, f"Member must have value {bound}")
        if duration > self.max_session_duration:
            raise _invalid(
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
            )
        return duration

    def _session_name(self, key: AccessKey) -> str:
        # Keys that other services issued have no recorded session name.
        return self._session_names.get(key.access_key, "session")

    def arn_of(self, key: AccessKey) -> str:
        """Who `key` is: a user, or a session of a role."""
        _, partition, _, _, account, resource = key.principal.arn.split(":", 5)
        kind, _, name = resource.partition("/")
        if kind != "role":
            return key.principal.arn
        session = f"{name.rpartition('/')[2]}/{self._session_name(key)}"
        return f"arn:{partition}:sts::{account}:assumed-role/{session}"

    def _user_id(self, key: AccessKey) -> str:
        arn = key.principal.arn
        unique = base64.b32encode(hashlib.sha256(arn.encode()).digest()).decode()[:17]
        return f"AROA{unique}:{self._session_name(key)}" if ":role/" in arn else f"AIDA{unique}"


def _parameters(call: Call) -> dict[str, str]:
    text = call.query if call.method == "GET" else call.body.decode(errors="replace")
    return dict(parse_qsl(text, keep_blank_values=True))


def _checked(parameters: Mapping[str, str], name: str) -> str | None:
    value = parameters.get(name)
    if value is None:
        return None
    shortest, longest, pattern = _LIMITS[name]
    shown = "" if name == "WebIdentityToken" else value
    if len(value) < shortest:
        constraint = f"Member must have length greater than or equal to {shortest}"
        raise _unmet(name, shown, constraint)
    if len(value) > longest:
        raise _unmet(name, shown, f"Member must have length less than or equal to {longest}")
    if not re.fullmatch(pattern, value, re.ASCII):
        raise _unmet(name, shown, f"Member must satisfy regular expression pattern: {pattern}")
    return value


def _required(parameters: Mapping[str, str], name: str) -> str:
    value = _checked(parameters, name)
    if value is None:
        raise _unmet(name, None, "Member must not be null")
    return value


def _unmet(name: str, value: str | None, constraint: str) -> AwsError:
    shown = "null" if value is None else f"'{value}'"
    return _invalid(
        f"1 validation error detected: Value {shown} at '{name[0].lower()}{name[1:]}' failed to "
        f"satisfy constraint: {constraint}"
    )


def _invalid(message: str) -> AwsError:
    return AwsError(400, "ValidationError", message)


def _xml(status: int, root: str, tree: Tree, request_id: str) -> web.Response:
    text = f'<{root} xmlns="{_NAMESPACE}">{_elements(tree)}</{root}>\n'
    headers = {"x-amzn-RequestId": request_id}
    return web.Response(status=status, text=text, content_type="text/xml", headers=headers)


def _elements(tree: Tree) -> str:
    return "".join(
        f"<{tag}>{html.escape(below) if isinstance(below, str) else _elements(below)}</{tag}>"
        for tag, below in tree.items()
    )
