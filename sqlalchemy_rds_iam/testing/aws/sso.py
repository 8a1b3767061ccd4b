"""IAM Identity Center (SSO): a role's keys for signed-in users, and access tokens renewed.

Sources: GetRoleCredentials in the IAM Identity Center Portal API Reference, CreateToken in the IAM
Identity Center OIDC API Reference. AWS serves them at two addresses, this does at one. Error
sentences are those the services are known to send.
"""

from __future__ import annotations

import json
import secrets
from http import HTTPStatus
from urllib.parse import parse_qsl

from aiohttp import web

from sqlalchemy_rds_iam.testing.aws.identities import Identities
from sqlalchemy_rds_iam.testing.aws.service import AwsError, Call, Service

_OPERATIONS = {"/federation/credentials": "GetRoleCredentials", "/token": "CreateToken"}
_TOKEN_HEADER = "x-amz-sso_bearer_token"  # noqa: S105  a header's name


class IdentityCenter(Service):
    """The portal and the OIDC service. Signed-in users may have every role of the account.

    Signing in takes a browser and is not emulated: put a token into `access_tokens`, and into the
    file in which the AWS CLI would keep it.

    Attributes:
        lifetime: Seconds the keys it issues live: the permission set's session duration.
        access_tokens: The access tokens that GetRoleCredentials accepts.
        refresh_tokens: What CreateToken exchanges for a new access token, each once.
        token_lifetime: Seconds that CreateToken says a new access token lives.
    """

    name = "IAM Identity Center"

    def __init__(self, identities: Identities) -> None:
        super().__init__(identities)
        self.lifetime = 3600.0
        self.access_tokens: set[str] = set()
        self.refresh_tokens: set[str] = set()
        self.token_lifetime = 3600

    def operation(self, call: Call) -> str:
        """GetRoleCredentials, CreateToken or Unknown."""
        return _OPERATIONS.get(call.path, "Unknown")

    def answer(self, call: Call) -> web.Response:
        """Perform the operation of this path."""
        operation = self.operation(call)
        if operation == "GetRoleCredentials" and call.method == "GET":
            return self._role_credentials(call)
        if operation == "CreateToken" and call.method == "POST":
            return self._token(call)
        raise AwsError(404, "ResourceNotFoundException", "There is no such operation.")

    def refusal(self, error: AwsError) -> web.Response:
        """JSON, with the code in a header; OAuth's fields are those of CreateToken."""
        document = {
            "__type": error.code,
            "message": error.message,
            "error": error.code,
            "error_description": error.message,
        }
        headers = {"x-amzn-ErrorType": error.code}
        return web.json_response(document, status=error.status, headers=headers)

    def _role_credentials(self, call: Call) -> web.Response:
        query = dict(parse_qsl(call.query))
        if not {"role_name", "account_id"} <= query.keys():
            raise AwsError(400, "InvalidRequestException", "role_name or account_id is missing.")
        if call.header(_TOKEN_HEADER) not in self.access_tokens:
            raise AwsError(401, "UnauthorizedException", "Session token not found or invalid")
        # The real role is called AWSReservedSSO_<name>_<hash>; who is asked for it by name.
        account, name = query["account_id"], query["role_name"]
        role = self._identities.principal(f"arn:aws:iam::{account}:role/{name}")
        if role is None:
            raise AwsError(HTTPStatus.FORBIDDEN, "ForbiddenException", "No access")
        key = self._identities.issue(role, self.lifetime)
        credentials = {
            "accessKeyId": key.access_key,
            "secretAccessKey": key.secret_key,
            "sessionToken": key.session_token,
            "expiration": int((key.expires_at or 0.0) * 1000),
        }
        return web.json_response({"roleCredentials": credentials})

    def _token(self, call: Call) -> web.Response:
        try:
            asked = json.loads(call.body)
            grant, token = asked["grantType"], str(asked["refreshToken"])
        except (ValueError, KeyError, TypeError):
            raise AwsError(400, "InvalidRequestException", "Invalid request") from None
        if grant != "refresh_token":
            raise AwsError(400, "UnsupportedGrantTypeException", "Unsupported grant type provided")
        if token not in self.refresh_tokens:
            raise AwsError(400, "InvalidGrantException", "Invalid refresh token provided")
        access, renewal = secrets.token_urlsafe(60), secrets.token_urlsafe(60)
        self.refresh_tokens -= {token}
        self.refresh_tokens |= {renewal}
        self.access_tokens |= {access}
        answer = {
            "accessToken": access,
            "refreshToken": renewal,
            "tokenType": "Bearer",
            "expiresIn": self.token_lifetime,
        }
        return web.json_response(answer)
