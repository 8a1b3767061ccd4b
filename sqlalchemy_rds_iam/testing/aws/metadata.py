"""Where a workload finds its role's keys: instance metadata (EC2) and container credentials.

Sources: "Access instance metadata for an EC2 instance" and "Retrieve security credentials from
instance metadata" in the EC2 User Guide; "Amazon ECS task IAM role" in the ECS Developer Guide;
"EKS Pod Identity" in the EKS User Guide.
"""

from __future__ import annotations

import hmac
import html
import secrets
from http import HTTPStatus
from urllib.parse import unquote

from aiohttp import web

from sqlalchemy_rds_iam.testing.aws.identities import AccessKey, Identities, Principal
from sqlalchemy_rds_iam.testing.aws.service import AwsError, Call, Service, timestamp

_LONGEST_TOKEN_TTL = 21600
_TOKEN_PATH = "/latest/api/token"  # noqa: S105  a path, not a token
_ROLES_PATH = "/latest/meta-data/iam/security-credentials/"
_TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
_TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105  a header's name
_OPERATIONS = {
    "/latest/meta-data/placement/region": "GetRegion",
    "/latest/dynamic/instance-identity/document": "GetInstanceIdentity",
}


class RoleService(Service):
    """A service that hands out the keys of one role.

    Attributes:
        role: Whose keys; None when the workload has no role.
        lifetime: Seconds a new key lives.
        reissue_below: The same key is served until it has less than so many seconds left, as AWS
            does; ``math.inf`` makes a new one for every call.
    """

    def __init__(self, identities: Identities) -> None:
        super().__init__(identities)
        self.role: Principal | None = None
        self.lifetime = 6 * 3600.0
        self.reissue_below = 300.0
        self._key: AccessKey | None = None

    def key_of(self, role: Principal) -> AccessKey:
        """The key to serve now for `role`. A revoked one is served on, as AWS does."""
        key = self._key
        if (
            key is None
            or key.expires_at is None
            or key.principal is not role
            or key.expires_at - self._identities.clock() < self.reissue_below
        ):
            key = self._key = self._identities.issue(role, self.lifetime)
        return key

    def document(self, role: Principal) -> dict[str, str]:
        """What both services say about a key."""
        key = self.key_of(role)
        return {
            "AccessKeyId": key.access_key,
            "SecretAccessKey": key.secret_key,
            "Token": key.session_token or "",
            "Expiration": timestamp(key.expires_at or 0.0),
        }


class InstanceMetadata(RoleService):
    """The EC2 instance metadata service, version 2 only: every GET needs a session token.

    An `AwsError` of status 200 is answered as the service answers when EC2 may not assume the role:
    a document with another ``Code`` than ``Success``.

    Attributes:
        region: Where the instance says it runs.
        whole_seconds: Whether ``Expiration`` has no fraction of a second, as that of the real one.
            botocore puts such an expiry off when it is less than 17 to 25 minutes away
            (`InstanceMetadataFetcher._evaluate_expiration`); False lets keys that live seconds be
            known to expire when they do.
    """

    name = "instance metadata"

    def __init__(self, identities: Identities) -> None:
        super().__init__(identities)
        self.region = "us-east-1"
        self.whole_seconds = True
        self._tokens: dict[str, float] = {}

    def operation(self, call: Call) -> str:
        """GetToken, ListRoles, GetCredentials, GetRegion, GetInstanceIdentity or Unknown."""
        if call.path == _TOKEN_PATH:
            return "GetToken"
        if call.path.rstrip("/") == _ROLES_PATH.rstrip("/"):
            return "ListRoles"
        if call.path.startswith(_ROLES_PATH):
            return "GetCredentials"
        return _OPERATIONS.get(call.path, "Unknown")

    def answer(self, call: Call) -> web.Response:
        """Serve a token to PUT, and documents to GET with a token."""
        operation = self.operation(call)
        if operation == "GetToken":
            return self._token(call)
        if call.method != "GET":
            raise _refused(HTTPStatus.METHOD_NOT_ALLOWED)
        expires_at = self._tokens.get(call.header(_TOKEN_HEADER) or "")
        if expires_at is None or self._identities.clock() >= expires_at:
            raise _refused(HTTPStatus.UNAUTHORIZED)
        role = self.role
        if operation == "GetRegion":
            return web.Response(text=self.region)
        if operation == "GetInstanceIdentity":
            return web.json_response({"region": self.region, "version": "2017-09-30"})
        if role is None or operation == "Unknown":
            raise _refused(HTTPStatus.NOT_FOUND)
        name = role.arn.rpartition("/")[2]
        if operation == "ListRoles":
            return web.Response(text=name)
        if unquote(call.path.removeprefix(_ROLES_PATH)) != name:
            raise _refused(HTTPStatus.NOT_FOUND)
        updated = timestamp(self._identities.clock())
        status = {"Code": "Success", "LastUpdated": updated, "Type": "AWS-HMAC"}
        # The real one answers JSON as text/plain too.
        return web.json_response(status | self.document(role), content_type="text/plain")

    def document(self, role: Principal) -> dict[str, str]:
        """What is said about a key."""
        found = super().document(role)
        if self.whole_seconds:
            found["Expiration"] = found["Expiration"].partition(".")[0] + "Z"
        return found

    def refusal(self, error: AwsError) -> web.Response:
        """A page that names the status, or the failed document for status 200."""
        if error.status == HTTPStatus.OK:
            updated = timestamp(self._identities.clock())
            document = {"Code": error.code, "Message": error.message, "LastUpdated": updated}
            return web.json_response(document, content_type="text/plain")
        title = html.escape(f"{error.status} - {error.message}")
        page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
        return web.Response(status=error.status, text=page, content_type="text/html")

    def _token(self, call: Call) -> web.Response:
        if call.method != "PUT":
            raise _refused(HTTPStatus.METHOD_NOT_ALLOWED)
        # So that an open proxy cannot be used to fetch the keys behind it.
        if call.header("X-Forwarded-For") is not None:
            raise _refused(HTTPStatus.FORBIDDEN)
        text = call.header(_TTL_HEADER) or ""
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _LONGEST_TOKEN_TTL:
            raise _refused(HTTPStatus.BAD_REQUEST)
        token = secrets.token_urlsafe(40) + "=="
        self._tokens[token] = self._identities.clock() + int(text)
        return web.Response(text=token, headers={_TTL_HEADER: text})


class ContainerCredentials(RoleService):
    """The credentials endpoint of an ECS task or an EKS pod.

    Attributes:
        token: What the ``Authorization`` header must hold; None does not ask for it.
    """

    name = "container credentials"

    def __init__(self, identities: Identities) -> None:
        super().__init__(identities)
        self.token: str | None = None
        self.path = "/v2/credentials/" + secrets.token_hex(16)

    def operation(self, call: Call) -> str:
        """GetCredentials, or Unknown for any other path."""
        return "GetCredentials" if call.path == self.path else "Unknown"

    def answer(self, call: Call) -> web.Response:
        """Serve the task's keys at `path`."""
        role = self.role
        if call.method != "GET" or call.path != self.path or role is None:
            raise AwsError(400, "InvalidIdException", "Credentials not found for this task.")
        offered = (call.header("Authorization") or "").encode("utf-8", "surrogateescape")
        if self.token is not None and not hmac.compare_digest(offered, self.token.encode()):
            raise AwsError(
                401,
                "AccessDeniedException",
                "The Authorization header does not hold the token of this workload.",
            )
        return web.json_response({"RoleArn": role.arn} | self.document(role))

    def refusal(self, error: AwsError) -> web.Response:
        """The JSON of the ECS agent's errors."""
        document = {"code": error.code, "message": error.message, "HTTPErrorCode": error.status}
        return web.json_response(document, status=error.status)


def _refused(status: HTTPStatus) -> AwsError:
    return AwsError(status, status.name, status.phrase)
