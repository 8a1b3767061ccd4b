"""Rotation of a database user's password in the four steps of AWS's rotation functions.

Sources: "Lambda rotation functions" and "Lambda function rotation strategies" in the Secrets
Manager User Guide. Other than AWS's functions the emulator sets passwords as its own database
user, so it does not need the one that is being replaced.
"""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Callable
from typing import Any, Literal

from sqlalchemy_rds_iam.testing.aws.secret_store import (
    AWSCURRENT,
    AWSPENDING,
    StoredSecret,
    Version,
)
from sqlalchemy_rds_iam.testing.database.users import Users

Strategy = Literal["single-user", "alternating-users"]
Step = Literal["createSecret", "setSecret", "testSecret", "finishSecret"]

STEPS: tuple[Step, ...] = ("createSecret", "setSecret", "testSecret", "finishSecret")
"""In AWS's order: the database knows the new password before AWSCURRENT is the new version."""

CURRENT_FIRST: tuple[Step, ...] = ("createSecret", "finishSecret", "setSecret", "testSecret")
"""The other way round, which leaves a window in which AWSCURRENT is refused by the database."""

_CLONE = "_clone"
_LENGTH = 32
# As AWS's functions do (EXCLUDE_CHARACTERS).
_AVOIDED = ":/@\"'\\"
_ALPHABET = [
    each
    for each in string.ascii_letters + string.digits + string.punctuation
    if each not in _AVOIDED
]


def new_password() -> str:
    """A random password, of characters that URLs and SQL may have to quote."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


def other_user(name: str) -> str:
    """The one of two alternating users that `name` is not."""
    return name.removesuffix(_CLONE) if name.endswith(_CLONE) else name + _CLONE


def fields_of(version: Version) -> dict[str, Any]:
    """The JSON fields of a version.

    Raises:
        ValueError: It is binary, no JSON or no object.
    """
    value = version.value
    if isinstance(value, str):
        try:
            fields = json.loads(value)
        except ValueError:
            fields = None
        if isinstance(fields, dict):
            return fields
    # Without the value, which must not appear in a traceback.
    raise ValueError(f"version {version.version_id} of the secret holds no JSON object")


class Rotation:
    """Performs steps on one secret, on the emulator's event loop. Each may be repeated."""

    def __init__(
        self,
        secret: StoredSecret,
        users: Users[Any],
        strategy: Strategy,
        clock: Callable[[], float],
    ) -> None:
        self._secret = secret
        self._users = users
        self._strategy = strategy
        self._clock = clock

    async def perform(self, step: Step, version_id: str) -> None:
        """Do one step of the rotation that makes the version `version_id`.

        Raises:
            ValueError: The current version is no JSON with a user and a password.
            RuntimeError: The database refuses the new password.
            ServerError: The database refused to change it.
        """
        match step:
            case "createSecret":
                self._create(version_id)
            case "setSecret":
                await self._set(fields_of(self._secret.find(version_id, None)))
            case "testSecret":
                await self._test(fields_of(self._secret.find(version_id, None)))
            case "finishSecret":
                self._secret.attach(AWSCURRENT, version_id)
                self._secret.rotated_at = self._clock()

    async def perform_all(self, version_id: str) -> None:
        """Do all steps in AWS's order."""
        for step in STEPS:
            await self.perform(step, version_id)

    def _create(self, version_id: str) -> None:
        secret = self._secret
        if secret.versions[version_id].value is not None:
            return
        fields = fields_of(secret.find(None, AWSCURRENT)) | {"password": new_password()}
        if self._strategy == "alternating-users":
            fields["username"] = other_user(fields["username"])
        secret.put(version_id, json.dumps(fields), [AWSPENDING], self._clock())

    async def _set(self, fields: dict[str, Any]) -> None:
        user = fields["username"]
        if self._strategy == "alternating-users" and user.endswith(_CLONE):
            await self._users.create_member(user, of=other_user(user))
        await self._users.set_password(user, fields["password"])

    async def _test(self, fields: dict[str, Any]) -> None:
        if not await self._users.accepts(
            fields["username"], fields["password"], fields.get("dbname")
        ):
            raise RuntimeError(
                f"Unable to log into database with pending secret of secret ARN {self._secret.arn}"
            )
