"""What the operations of AWS Secrets Manager do to a secret that was found and may be used.

Sources: the Secrets Manager API Reference; the sentences are those the service is known to send.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

from sqlalchemy_rds_iam.testing.aws.json_protocol import (
    Json,
    binary,
    misused,
    required,
    text,
    unmet,
)
from sqlalchemy_rds_iam.testing.aws.secret_store import AWSCURRENT, StoredSecret, Value, invalid
from sqlalchemy_rds_iam.testing.aws.service import AwsError

_DAY = 86400.0
_SHORTEST_WINDOW, _LONGEST_WINDOW = 7, 30
_SHORTEST_TOKEN, _LONGEST_TOKEN = 32, 64
_LONGEST_VALUE = 65536


def value(given: Json) -> Value | None:
    """The secret value in a request, None when it brings none.

    Raises:
        AwsError: It brings two, or one that is too long.
    """
    if "SecretString" in given and "SecretBinary" in given:
        raise misused(
            "You can't specify both a binary secret value and a string secret value in the same "
            "secret."
        )
    found = text(given, "SecretString") or binary(given, "SecretBinary")
    if found is not None and len(found) > _LONGEST_VALUE:
        raise misused(f"The secret value is longer than {_LONGEST_VALUE} bytes.")
    return found


def token(given: Json, code: str) -> str:
    """The ClientRequestToken, which becomes the id of the new version.

    Raises:
        AwsError: With this `code`, when there is none.
    """
    found = text(given, "ClientRequestToken")
    if found is None:
        raise AwsError(
            400,
            code,
            "You must provide a ClientRequestToken value. We recommend a UUID-type value.",
        )
    if not _SHORTEST_TOKEN <= len(found) <= _LONGEST_TOKEN:
        raise misused("ClientRequestToken must be 32-64 characters long.")
    return found


def _get_value(secret: StoredSecret, given: Json, _now: float) -> Json:
    version = secret.find(text(given, "VersionId"), text(given, "VersionStage"))
    found = version.value
    return {
        "VersionId": version.version_id,
        "VersionStages": secret.stages(version.version_id),
        "CreatedDate": version.created_at,
    } | (
        {"SecretBinary": b64encode(found).decode()}
        if isinstance(found, bytes)
        else {"SecretString": found}
    )


def _describe(secret: StoredSecret, _given: Json, _now: float) -> Json:
    labelled = {each: secret.stages(each) for each in secret.versions if secret.stages(each)}
    described: Json = {
        "Description": secret.description or None,
        "OwningService": secret.owning_service,
        "RotationEnabled": secret.rotate is not None or None,
        "LastRotatedDate": secret.rotated_at,
        "LastChangedDate": secret.changed_at,
        "DeletedDate": secret.deletion_at,
        "CreatedDate": secret.created_at,
        "VersionIdsToStages": labelled or None,
    }
    return {name: each for name, each in described.items() if each is not None}


def _list_versions(secret: StoredSecret, given: Json, _now: float) -> Json:
    versions = [
        {
            "VersionId": version.version_id,
            "VersionStages": secret.stages(version.version_id),
            "CreatedDate": version.created_at,
            "KmsKeyIds": ["DefaultEncryptionKey"],
        }
        for version in secret.versions.values()
        if given.get("IncludeDeprecated") is True or secret.stages(version.version_id)
    ]
    return {"Versions": versions}


def _update(secret: StoredSecret, given: Json, now: float) -> Json:
    secret.description = text(given, "Description") or secret.description
    return {} if value(given) is None else _add_version(secret, given, now)


def _put_value(secret: StoredSecret, given: Json, now: float) -> Json:
    added = _add_version(secret, given, now)
    return added | {"VersionStages": secret.stages(added["VersionId"])}


def _add_version(secret: StoredSecret, given: Json, now: float) -> Json:
    if secret.owning_service is not None:
        raise invalid(
            f"The secret is managed by {secret.owning_service}; use that service to update it."
        )
    stages = given.get("VersionStages") or [AWSCURRENT]
    if not (isinstance(stages, list) and all(isinstance(each, str) for each in stages)):
        raise unmet("VersionStages", None, "Member must be a list of strings")
    new, version_id = value(given), token(given, "InvalidRequestException")
    if new is None:
        raise invalid("You must provide either SecretString or SecretBinary.")
    secret.put(version_id, new, stages, now)
    return {"VersionId": version_id}


def _move_stage(secret: StoredSecret, given: Json, _now: float) -> Json:
    stage = required(given, "VersionStage")
    source, target = text(given, "RemoveFromVersionId"), text(given, "MoveToVersionId")
    holder = secret.labels.get(stage)
    for version_id in (source, target):
        if version_id is not None and version_id not in secret.versions:
            raise misused(f"Not a valid version: {version_id}")
    if source is None and holder not in (None, target):
        raise misused(
            f"The parameter RemoveFromVersionId can't be empty. Staging label {stage} is "
            f"currently attached to version {holder}, so you must explicitly reference that "
            "version in RemoveFromVersionId."
        )
    if source is not None and source != holder:
        raise misused(f"Version stage {stage} not found in version {source}")
    if target is not None:
        secret.attach(stage, target)
    elif stage == AWSCURRENT:
        raise misused("You can only move the staging label AWSCURRENT to another version.")
    else:
        secret.labels.pop(stage, None)
    return {}


def _delete(secret: StoredSecret, given: Json, now: float) -> Json:
    days = given.get("RecoveryWindowInDays", _LONGEST_WINDOW)
    force = given.get("ForceDeleteWithoutRecovery") is True
    if force and "RecoveryWindowInDays" in given:
        raise misused(
            "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays."
        )
    if not isinstance(days, int) or not _SHORTEST_WINDOW <= days <= _LONGEST_WINDOW:
        raise misused("The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
    secret.deletion_at = now + (0 if force else days * _DAY)
    return {"DeletionDate": secret.deletion_at}


def _restore(secret: StoredSecret, _given: Json, _now: float) -> Json:
    secret.deletion_at = None
    return {}


OPERATIONS: dict[str, Callable[[StoredSecret, Json, float], Json]] = {
    "DeleteSecret": _delete,
    "DescribeSecret": _describe,
    "GetSecretValue": _get_value,
    "ListSecretVersionIds": _list_versions,
    "PutSecretValue": _put_value,
    "RestoreSecret": _restore,
    "UpdateSecret": _update,
    "UpdateSecretVersionStage": _move_stage,
}
"""By name: what each does at a time in epoch seconds, and answers besides ARN and name."""
