"""AWS Secrets Manager over HTTP: the operations that read secrets and those that rotate them.

Sources: the Secrets Manager API Reference for operations, parameters and errors; the sentences and
the status 400 of most refusals are those the service is known to send. Not there: replicas,
resource policies, tags, lists of secrets, pages (every list is one).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from aiohttp import web

from sqlalchemy_rds_iam.testing.aws import secret_operations as operations
from sqlalchemy_rds_iam.testing.aws.identities import ACCOUNT_ID, AccessKey, Identities
from sqlalchemy_rds_iam.testing.aws.json_protocol import Json, parameters, required, response, text
from sqlalchemy_rds_iam.testing.aws.secret_store import (
    AWSCURRENT,
    SecretStore,
    StoredSecret,
    account_of,
    invalid,
    not_found,
)
from sqlalchemy_rds_iam.testing.aws.service import AwsError, Call, Service
from sqlalchemy_rds_iam.testing.aws.sigv4 import authenticate, authorization, claimed_key
from sqlalchemy_rds_iam.testing.aws.sts import Sts

logger = logging.getLogger("sqlalchemy_rds_iam.testing")

THROTTLED = AwsError(400, "ThrottlingException", "Rate exceeded")
INTERNAL_ERROR = AwsError(500, "InternalServiceError", "An error occurred on the server side.")
DECRYPTION_FAILURE = AwsError(
    400,
    "DecryptionFailure",
    "Secrets Manager can't decrypt the protected secret text using the provided KMS key.",
)
KMS_DENIED = AwsError(400, "AccessDeniedException", "Access to KMS is not allowed")

_TARGET = "secretsmanager."
_RECORDED = ("Name", "SecretId", "VersionId", "VersionStage")
_OPERATIONS = {*operations.OPERATIONS, "CreateSecret", "RotateSecret"}
_ON_DELETED = ("DescribeSecret", "ListSecretVersionIds", "RestoreSecret")
# The JSON protocol's names for what STS says in its own.
_CODES = {
    "ExpiredToken": "ExpiredTokenException",
    "IncompleteSignature": "IncompleteSignatureException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
}
_DELETED = "You can't perform this operation on the secret because it was marked for deletion."


class SecretsManager(Service):
    """AWS Secrets Manager. Which region answers is said by the signature of the request.

    A principal may do everything with the secrets that its `Principal.secrets` names.

    Attributes:
        store: The secrets; only for the event loop that serves them.
        clock_skew: Seconds a signing time may be off.
    """

    name = "Secrets Manager"

    def __init__(self, identities: Identities, sts: Sts) -> None:
        super().__init__(identities)
        self.store = SecretStore(identities.clock)
        self.clock_skew = 300.0
        self._sts = sts
        self._rotations: set[asyncio.Task[None]] = set()

    def operation(self, call: Call) -> str:
        """The operation that ``X-Amz-Target`` names, or Unknown."""
        name = (call.header("X-Amz-Target") or "").removeprefix(_TARGET)
        return name if name in _OPERATIONS else "Unknown"

    def caller(self, call: Call) -> str | None:
        """The access key id in the Authorization header."""
        return claimed_key(call)

    def arguments(self, call: Call) -> Mapping[str, str]:
        """Which secret and version `call` is about, never its value."""
        try:
            given = parameters(call)
        except AwsError:
            return {}
        return {name: given[name] for name in _RECORDED if isinstance(given.get(name), str)}

    def answer(self, call: Call) -> web.Response:
        """Perform the operation of a JSON 1.1 request."""
        operation = self.operation(call)
        if operation == "Unknown":
            raise AwsError(400, "UnknownOperationException", "There is no such operation.")
        try:
            key = authenticate(
                call, self._identities, service="secretsmanager", clock_skew=self.clock_skew
            )
        except AwsError as error:
            raise AwsError(400, _CODES.get(error.code, error.code), error.message) from None
        claim = authorization(call)
        assert claim is not None
        given = parameters(call)
        identifier = required(given, "Name" if operation == "CreateSecret" else "SecretId")
        secret = self.store.find(claim.region, identifier)
        self._authorize(key, operation, identifier, secret)
        if operation == "CreateSecret":
            return response(self._create(claim.region, identifier, given))
        forced = operation == "DeleteSecret" and given.get("ForceDeleteWithoutRecovery") is True
        if secret is None and forced:
            return response({"ARN": identifier, "Name": identifier, "DeletionDate": self._now()})
        if secret is None:
            raise not_found()
        if secret.deletion_at is not None and operation not in _ON_DELETED and not forced:
            raise invalid(_DELETED)
        named = {"ARN": secret.arn, "Name": secret.name}
        if operation == "RotateSecret":
            return response(named | self._rotate(secret, given))
        return response(named | operations.OPERATIONS[operation](secret, given, self._now()))

    def refusal(self, error: AwsError) -> web.Response:
        """The JSON of the protocol's errors."""
        return response({"__type": error.code, "Message": error.message}, error.status)

    def _authorize(
        self, key: AccessKey, operation: str, identifier: str, secret: StoredSecret | None
    ) -> None:
        """Judge before the secret is known to exist, as IAM does."""
        name = identifier if secret is None else secret.name
        action = f"secretsmanager:{operation}"
        if key.revoked:
            why = "with an explicit deny in an identity-based policy"
        elif account_of(identifier) not in (None, ACCOUNT_ID):
            why = f"because no resource-based policy allows the {action} action"
        elif not key.principal.may_use_secret(name):
            why = f"because no identity-based policy allows the {action} action"
        else:
            return
        resource = identifier if secret is None else secret.arn
        raise AwsError(
            400,
            "AccessDeniedException",
            f"User: {self._sts.arn_of(key)} is not authorized to perform: {action} on resource: "
            f"{resource} {why}",
        )

    def _now(self) -> float:
        return self._identities.clock()

    def _create(self, region: str, name: str, given: Json) -> Json:
        # Read first, so that a refused value leaves no secret behind.
        value = operations.value(given)
        token = operations.token(given, "InvalidRequestException")
        secret = self.store.create(region, name)
        secret.description = text(given, "Description") or ""
        created = {"ARN": secret.arn, "Name": secret.name}
        if value is None:
            return created
        secret.put(token, value, [AWSCURRENT], self._now())
        return created | {"VersionId": token}

    def _rotate(self, secret: StoredSecret, given: Json) -> Json:
        token = operations.token(given, "InvalidParameterException")
        if text(given, "RotationLambdaARN") is not None:
            raise AwsError(
                400,
                "AccessDeniedException",
                "Secrets Manager cannot invoke the specified Lambda function. Ensure that the "
                "function policy grants access to the principal secretsmanager.amazonaws.com.",
            )
        if secret.rotate is None:
            raise invalid("No Lambda rotation function ARN is associated with this secret.")
        if given.get("RotateImmediately") is False:
            return {}
        secret.announce(token, self._now())
        task = asyncio.ensure_future(secret.rotate(token))
        self._rotations.add(task)
        task.add_done_callback(self._rotated)
        return {"VersionId": token}

    def _rotated(self, task: asyncio.Task[None]) -> None:
        self._rotations.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.warning("a rotation failed: %s", task.exception())
