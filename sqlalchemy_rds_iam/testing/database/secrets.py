"""The account's secrets as tests handle them, and the database users whose passwords they hold."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy_rds_iam.testing.aws.secret_store import (
    AWSCURRENT,
    AWSPENDING,
    SecretStore,
    StoredSecret,
)
from sqlalchemy_rds_iam.testing.background import Background
from sqlalchemy_rds_iam.testing.database.engines import DatabaseEngine
from sqlalchemy_rds_iam.testing.database.rotation import (
    STEPS,
    Rotation,
    Step,
    Strategy,
    fields_of,
    new_password,
)
from sqlalchemy_rds_iam.testing.database.users import Users
from sqlalchemy_rds_iam.testing.database.verifier import SignedEndpoint

_RECOVERY = 30 * 86400.0

_T = TypeVar("_T")


class Secret:
    """One secret. Every method returns when it is done, and may be called from any thread.

    Attributes:
        name: Its name.
        arn: Its complete ARN.
    """

    def __init__(
        self,
        background: Background,
        store: SecretStore,
        stored: StoredSecret,
        users: Users[Any],
        rotation: Rotation,
    ) -> None:
        self.name = stored.name
        self.arn = stored.arn
        self._background = background
        self._store = store
        self._stored = stored
        self._users = users
        self._rotation = rotation

    @property
    def stages(self) -> dict[str, str]:
        """Each staging label, and the id of the version that has it."""
        return self._do(lambda: dict(self._stored.labels))

    def value(self, stage: str = AWSCURRENT) -> str | bytes | None:
        """The value of the version labelled `stage`.

        Raises:
            AwsError: There is no such version, or it has no value yet.
        """
        return self._do(lambda: self._stored.find(None, stage).value)

    def fields(self, stage: str = AWSCURRENT) -> dict[str, Any]:
        """The JSON fields of the version labelled `stage`: ``username``, ``password`` and so on.

        Raises:
            AwsError: There is no such version, or it has no value yet.
            ValueError: It is binary, no JSON or no object.
        """
        return self._do(lambda: fields_of(self._stored.find(None, stage)))

    def put(self, value: str | bytes | Mapping[str, Any], *stages: str) -> str:
        """Add a version, as an editor of the secret does; the database learns nothing of it.

        Args:
            value: Text, bytes, or fields to be written as JSON.
            stages: The version's labels, by default AWSCURRENT.

        Returns:
            The id of the version.
        """
        version_id = str(uuid.uuid4())
        written = json.dumps(value) if isinstance(value, Mapping) else value
        labels = stages or (AWSCURRENT,)
        self._do(lambda: self._stored.put(version_id, written, labels, self._store.clock()))
        return version_id

    def move(self, stage: str, version_id: str) -> None:
        """Move a label to this version; AWSPREVIOUS follows AWSCURRENT."""
        self._do(lambda: self._stored.attach(stage, version_id))

    def rotate(self) -> None:
        """Rotate the password: all four steps."""
        for _ in self.rotation():
            pass

    def rotation(self, steps: Sequence[Step] = STEPS) -> Iterator[Step]:
        """Rotate the password step by step: each value is a step that is done.

        Without any steps the rotation is only announced, so AWSPENDING has no value. Leave the
        loop to give the rotation up; the next one then takes it up again, as AWS does.

        Args:
            steps: In which order; see `STEPS` and `CURRENT_FIRST`.

        Raises:
            ValueError: The current version is no JSON with a user and a password.
            RuntimeError: The database refuses the new password (testSecret).
            ServerError: The database refused to change it.
        """
        version_id = self._do(self._announce)
        for step in steps:
            self._background.call(self._rotation.perform(step, version_id))
            yield step

    def set_password(self, stage: str = AWSCURRENT) -> None:
        """Give the database user the password of the version labelled `stage`."""
        fields = self.fields(stage)
        self._background.call(self._users.set_password(fields["username"], fields["password"]))

    def delete(self, *, force: bool = False) -> None:
        """Schedule the deletion in 30 days, or (`force`) delete it now."""
        if force:
            self._do(lambda: self._store.remove(self._stored))
        else:
            self._stored.deletion_at = self._store.clock() + _RECOVERY

    def restore(self) -> None:
        """Take the deletion back."""
        self._stored.deletion_at = None

    def _announce(self) -> str:
        labels = self._stored.labels
        unfinished = labels.get(AWSPENDING)
        if unfinished is not None and unfinished != labels.get(AWSCURRENT):
            return unfinished
        version_id = str(uuid.uuid4())
        self._stored.announce(version_id, self._store.clock())
        return version_id

    def _do(self, work: Callable[[], _T]) -> _T:
        return _on_loop(self._background, work)


class Secrets:
    """Makes secrets, and database users with passwords, in the emulated account and region."""

    def __init__(
        self,
        background: Background,
        store: SecretStore,
        users: Users[Any],
        endpoint: SignedEndpoint,
        address: tuple[str, int],
        *,
        engine: DatabaseEngine,
    ) -> None:
        """Work on `store` and `users`, which belong to the event loop of `background`.

        Args:
            background: The thread with the event loop.
            store: The account's secrets.
            users: The database's users.
            endpoint: The database; secrets are in its region.
            address: Where clients find it.
            engine: Which database it is.
        """
        self._background = background
        self._store = store
        self._users = users
        self._region = endpoint.region
        self._engine = engine
        self._instance = {
            "host": address[0],
            "port": address[1],
            "dbInstanceIdentifier": endpoint.host.partition(".")[0],
        }

    def create(
        self,
        name: str,
        user: str,
        *,
        password: str | None = None,
        database: str | None = None,
        strategy: Strategy = "single-user",
        master: Secret | None = None,
        **fields: str | int,
    ) -> Secret:
        """Create a database user with a password, and the secret that holds it.

        The secret has the fields of AWS's rotation functions: engine, host, port, username,
        password, dbname, dbInstanceIdentifier and, with a `master`, masterarn. Host and port are
        those that the gateway listens on.

        Args:
            name: The secret's name.
            user: The database user; one that exists gets the password.
            password: By default a random one of 32 characters.
            database: Which to connect to; created for the user when it does not exist. By default
                ``postgres``, and ``test`` on MySQL.
            strategy: How `Secret.rotate` goes about it: ``single-user`` or ``alternating-users``.
            master: The secret of the user that would set the passwords on AWS.
            fields: More fields of the secret, or other values for those above.

        Raises:
            AwsError: The name is taken or none.
            ValueError: The user authenticates through IAM, or is the emulator's own.
        """
        database = database or self._engine.home
        login: dict[str, Any] = {
            "engine": self._engine.secret_engine,
            **self._instance,
            "username": user,
            "password": password or new_password(),
            "dbname": database,
        }
        if master is not None:
            login["masterarn"] = master.arn
        self._background.call(self._create_user(user, login["password"], database))
        secret = self._make(name, strategy, rotates=True)
        secret.put(login | fields)
        return secret

    def create_managed(self, user: str, *, password: str | None = None) -> Secret:
        """Create a user and a secret like that of a master user whose password RDS manages.

        AWS chooses its name, it holds only username and password, and no caller may put versions.

        Args:
            user: The database user; one that exists gets the password.
            password: By default a random one of 32 characters.

        Raises:
            ValueError: The user authenticates through IAM, or is the emulator's own.
        """
        login = {"username": user, "password": password or new_password()}
        self._background.call(self._create_user(user, login["password"], self._engine.home))
        secret = self._make(f"rds!db-{uuid.uuid4()}", rotates=True, owner="rds")
        secret.put(login)
        return secret

    def store(self, name: str, value: str | bytes | Mapping[str, Any] | None) -> Secret:
        """Create a secret of any value, without a database user; None makes one without a version.

        Raises:
            AwsError: The name is taken or none.
        """
        secret = self._make(name)
        if value is not None:
            secret.put(value)
        return secret

    def clear(self) -> None:
        """Forget every secret. The database users stay."""
        _on_loop(self._background, self._store.clear)

    async def _create_user(self, user: str, password: str, database: str) -> None:
        await self._users.create_password_user(user, password)
        await self._users.create_database(database, user)

    def _make(
        self,
        name: str,
        strategy: Strategy = "single-user",
        *,
        rotates: bool = False,
        owner: str | None = None,
    ) -> Secret:
        stored = _on_loop(self._background, lambda: self._store.create(self._region, name))
        rotation = Rotation(stored, self._users, strategy, self._store.clock)
        stored.owning_service = owner
        stored.rotate = rotation.perform_all if rotates else None
        return Secret(self._background, self._store, stored, self._users, rotation)


def _on_loop(background: Background, work: Callable[[], _T]) -> _T:
    async def do() -> _T:
        # There and nowhere else, so that a request never sees half a change.
        return work()

    return background.call(do())
