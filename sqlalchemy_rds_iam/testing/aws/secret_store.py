"""Secrets, their versions and the staging labels on them, as AWS Secrets Manager keeps them.

Sources: "What's in a Secrets Manager secret?" and "Finding a secret from a partial ARN" in the
Secrets Manager User Guide, PutSecretValue and UpdateSecretVersionStage in the API Reference. Where
these are silent: what other emulators have recorded of the real service (LocalStack's snapshots).
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from sqlalchemy_rds_iam.testing.aws.identities import ACCOUNT_ID
from sqlalchemy_rds_iam.testing.aws.service import AwsError

AWSCURRENT = "AWSCURRENT"
AWSPENDING = "AWSPENDING"
AWSPREVIOUS = "AWSPREVIOUS"

_ARN = re.compile(
    r"arn:[\w-]+:secretsmanager:(?P<region>[^:]*):(?P<account>[^:]*):secret:(?P<name>.+)"
)
_NAME = re.compile(r"[\w/+=.@!-]{1,512}", re.ASCII)
# What AWS takes for the end of a complete ARN, whatever it is.
_SUFFIXED = re.compile(r".*-[A-Za-z0-9]{6}")

Value = str | bytes


@dataclass
class Version:
    """One version of a secret. Its `value` is None while a rotation has only announced it."""

    version_id: str
    created_at: float
    value: Value | None = field(default=None, repr=False)


@dataclass
class StoredSecret:
    """A secret with its versions.

    Attributes:
        labels: Each staging label, and the id of the one version that holds it.
        owning_service: The AWS service that manages the secret, ``rds`` for master passwords.
        deletion_at: When it is scheduled to be deleted, in epoch seconds.
        rotate: Stands for the rotation function: gets the id of the version to make.
    """

    name: str
    arn: str
    created_at: float
    changed_at: float
    description: str = ""
    owning_service: str | None = None
    deletion_at: float | None = None
    rotated_at: float | None = None
    rotate: Callable[[str], Awaitable[None]] | None = field(default=None, repr=False)
    versions: dict[str, Version] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def stages(self, version_id: str) -> list[str]:
        """The staging labels of this version, sorted."""
        return sorted(label for label, holder in self.labels.items() if holder == version_id)

    def put(self, version_id: str, value: Value, stages: Iterable[str], now: float) -> None:
        """Add a version, or fill in the one that a rotation has announced, and label it.

        Raises:
            AwsError: The version exists with another value.
        """
        version = self.versions.setdefault(version_id, Version(version_id, now))
        if version.value is None:
            version.value = value
            self.changed_at = now
        elif version.value != value:
            raise AwsError(
                400,
                "ResourceExistsException",
                f"You can't use ClientRequestToken {version_id} because that value is already in "
                f"use for a version of secret {self.arn}.",
            )
        else:
            return
        # The first value is current, whatever it was put as.
        for stage in {*stages, AWSCURRENT} if len(self.versions) == 1 else set(stages):
            self.attach(stage, version_id)

    def attach(self, stage: str, version_id: str) -> None:
        """Move the label `stage` to this version. AWSPREVIOUS follows AWSCURRENT."""
        before = self.labels.get(stage)
        if stage == AWSCURRENT and before not in (None, version_id):
            self.labels[AWSPREVIOUS] = str(before)
            # Left there by the rotation that made it current; a rotation since has moved it on.
            if self.labels.get(AWSPENDING) == before:
                del self.labels[AWSPENDING]
        self.labels[stage] = version_id

    def find(self, version_id: str | None, stage: str | None) -> Version:
        """The version that GetSecretValue answers with.

        Raises:
            AwsError: There is none, it has no value yet, or id and label do not belong together.
        """
        wanted = version_id or self.labels.get(stage or AWSCURRENT, "")
        version = self.versions.get(wanted)
        if version is not None and stage is not None and self.labels.get(stage) != wanted:
            raise invalid(
                "You provided a VersionStage that is not associated to the provided VersionId."
            )
        if version is None or version.value is None:
            which = (
                f"staging label: {stage or AWSCURRENT}"
                if version_id is None
                else f"VersionId: {version_id}"
            )
            raise not_found(f"Secrets Manager can't find the specified secret value for {which}")
        return version

    def announce(self, version_id: str, now: float) -> None:
        """Begin a rotation: the version it will make has its label and no value.

        Raises:
            AwsError: A rotation has begun and not finished.
        """
        pending = self.labels.get(AWSPENDING)
        if pending not in (None, version_id, self.labels.get(AWSCURRENT)):
            raise invalid("A previous rotation isn't complete. That rotation will be reattempted.")
        self.versions.setdefault(version_id, Version(version_id, now))
        self.attach(AWSPENDING, version_id)


class SecretStore:
    """The secrets of one account, region by region. For one thread at a time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._secrets: dict[tuple[str, str], StoredSecret] = {}

    def create(self, region: str, name: str) -> StoredSecret:
        """Add a secret without a version.

        Raises:
            AwsError: The name is taken or none.
        """
        if not _NAME.fullmatch(name):
            raise AwsError(
                400,
                "ValidationException",
                "Invalid name. Must be a valid name containing alphanumeric characters, or any of "
                "the following: -/_+=.@!",
            )
        taken = self._alive(region, name)
        if taken is not None and taken.deletion_at is not None:
            raise invalid(
                "You can't create this secret because a secret with this name is already scheduled "
                "for deletion."
            )
        if taken is not None:
            raise AwsError(
                400,
                "ResourceExistsException",
                f"The operation failed because the secret {name} already exists.",
            )
        suffix = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(6))
        arn = f"arn:aws:secretsmanager:{region}:{ACCOUNT_ID}:secret:{name}-{suffix}"
        now = self.clock()
        return self._secrets.setdefault((region, name), StoredSecret(name, arn, now, now))

    def find(self, region: str, secret_id: str) -> StoredSecret | None:
        """The secret with this name, ARN or partial ARN, one scheduled for deletion included."""
        parts = _ARN.fullmatch(secret_id)
        if parts is None:
            return self._alive(region, secret_id)
        if parts["region"] != region or parts["account"] != ACCOUNT_ID:
            return None
        if _SUFFIXED.fullmatch(parts["name"]):
            found = self._alive(region, parts["name"][:-7])
            return found if found is not None and found.arn == secret_id else None
        return self._alive(region, parts["name"])

    def remove(self, secret: StoredSecret) -> None:
        """Forget `secret` at once."""
        self._secrets = {key: each for key, each in self._secrets.items() if each is not secret}

    def clear(self) -> None:
        """Forget every secret."""
        self._secrets.clear()

    def _alive(self, region: str, name: str) -> StoredSecret | None:
        found = self._secrets.get((region, name))
        if found is None or found.deletion_at is None or self.clock() < found.deletion_at:
            return found
        del self._secrets[region, name]
        return None


def account_of(secret_id: str) -> str | None:
    """The account that an ARN names; None for a name."""
    parts = _ARN.fullmatch(secret_id)
    return None if parts is None else parts["account"]


def invalid(message: str) -> AwsError:
    """The refusal of what the state of the secret does not allow."""
    return AwsError(400, "InvalidRequestException", message)


def not_found(message: str = "Secrets Manager can't find the specified secret.") -> AwsError:
    """The refusal of what does not exist: status 400 here, not 404."""
    return AwsError(400, "ResourceNotFoundException", message)
