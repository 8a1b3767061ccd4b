"""Secrets of real database users, rotated step by step, as applications on AWS meet them."""

from __future__ import annotations

import json
import time
import traceback
from typing import Any

import psycopg
import pytest
from patience import eventually_async
from secrets_support import call, logs_in, refusal

from sqlalchemy_rds_iam.testing import CURRENT_FIRST, STEPS, AwsError, RdsEmulator, Secret
from sqlalchemy_rds_iam.testing.database.rotation import new_password, other_user

ALTERNATING = "alternating-users"

# After each step: do AWSPREVIOUS, AWSCURRENT and AWSPENDING log in? None: there is no such version.
WINDOWS: list[tuple[Any, Any, list[tuple[bool | None, bool, bool]]]] = [
    (
        "single-user",
        STEPS,
        [
            (None, True, False),
            (None, False, True),
            (None, False, True),
            (False, True, True),
        ],
    ),
    (
        "single-user",
        CURRENT_FIRST,
        [
            (None, True, False),
            (True, False, False),
            (False, True, True),
            (False, True, True),
        ],
    ),
    (
        ALTERNATING,
        STEPS,
        [
            (None, True, False),
            (None, True, True),
            (None, True, True),
            (True, True, True),
        ],
    ),
    (
        ALTERNATING,
        CURRENT_FIRST,
        [
            (None, True, False),
            (True, False, False),
            (True, True, True),
            (True, True, True),
        ],
    ),
]


def _let_in(rds: RdsEmulator, secret: Secret) -> tuple[bool | None, ...]:
    labels = ("AWSPREVIOUS", "AWSCURRENT", "AWSPENDING")
    return tuple(
        logs_in(rds, secret.fields(each)) if each in secret.stages else None for each in labels
    )


@pytest.mark.parametrize(("strategy", "steps", "expected"), WINDOWS)
def test_the_windows_of_a_rotation(
    rds: RdsEmulator, user: str, strategy: Any, steps: Any, expected: list[tuple[bool | None, ...]]
) -> None:
    """After each step those versions log in that would on AWS."""
    secret = rds.secrets.create("prod/app", user, strategy=strategy)
    done, found = [], []
    for step in secret.rotation(steps):
        done.append(step)
        found.append(_let_in(rds, secret))
    assert done == list(steps)
    assert found == expected


@pytest.mark.parametrize("strategy", ["single-user", ALTERNATING])
def test_many_rotations(rds: RdsEmulator, user: str, strategy: Any) -> None:
    """Each gives another password, alternating users take turns, and open sessions live on."""
    secret = rds.secrets.create("prod/app", user, strategy=strategy)
    first = secret.fields()
    host, port = rds.address
    with psycopg.connect(
        host=host,
        port=port,
        user=user,
        password=first["password"],
        dbname="postgres",
        sslrootcert=str(rds.ca_file),
        sslmode="verify-full",
    ) as session:
        seen = [first]
        for _ in range(4):
            secret.rotate()
            assert logs_in(rds, secret.fields())
            assert secret.fields("AWSPREVIOUS") == seen[-1]
            seen.append(secret.fields())
        assert session.execute("SELECT current_user").fetchone() == (user,)
    assert len({each["password"] for each in seen}) == 5
    other = f"{user}_clone" if strategy == ALTERNATING else user
    assert [each["username"] for each in seen] == [user, other, user, other, user]
    changed = {"username", "password"}
    assert all({k: v for k, v in each.items() if k not in changed} == _rest(first) for each in seen)


def _rest(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in fields.items() if name not in {"username", "password"}}


def test_the_clone_has_the_rights_of_its_original(rds: RdsEmulator, user: str) -> None:
    """What belongs to the user is the clone's as well."""
    secret = rds.secrets.create("prod/app", user, strategy=ALTERNATING, database="theirs")
    rds.execute("CREATE TABLE words AS SELECT 'a' AS word", "theirs")
    rds.execute(f"ALTER TABLE words OWNER TO {user}", "theirs")
    secret.rotate()
    fields = secret.fields()
    assert logs_in(rds, fields)
    with psycopg.connect(
        host=fields["host"],
        port=fields["port"],
        user=fields["username"],
        password=fields["password"],
        dbname="theirs",
        sslmode="verify-full",
        sslrootcert=str(rds.ca_file),
    ) as session:
        assert session.execute("SELECT word FROM words").fetchone() == ("a",)
    rds.execute("DROP DATABASE theirs WITH (FORCE)")


def test_what_secrets_hold(rds: RdsEmulator, user: str) -> None:
    """The fields are those of AWS's rotation functions; managed secrets hold two of them."""
    host, port = rds.address
    managed = rds.secrets.create_managed(user, password="first")
    assert managed.name.startswith("rds!db-")
    assert managed.fields() == {"username": user, "password": "first"}
    secret = rds.secrets.create("prod/app", user, master=managed, engine="aurora-postgresql")
    fields = secret.fields()
    assert len(fields.pop("password")) == 32
    assert fields == {
        "engine": "aurora-postgresql",
        "host": host,
        "port": port,
        "username": user,
        "dbname": "postgres",
        "dbInstanceIdentifier": "app-db",
        "masterarn": managed.arn,
    }
    assert json.loads(secret.value() or "") == secret.fields()


async def test_managed_secrets(rds: RdsEmulator, user: str) -> None:
    """They rotate, belong to RDS, and take no versions from outside."""
    secret = rds.secrets.create_managed(user)
    secret.rotate()
    assert logs_in(rds, secret.fields())
    assert set(secret.fields()) == {"username", "password"}
    described = await call(rds, False, "describe_secret", SecretId=secret.arn)
    assert (described["OwningService"], described["RotationEnabled"]) == ("rds", True)
    put = call(rds, False, "put_secret_value", SecretId=secret.arn, SecretString="x")
    assert (await refusal(put))[1] == "InvalidRequestException"


async def test_rotate_secret_over_http(rds: RdsEmulator, user: str) -> None:
    """The operation returns at once, and the rotation ends with the version it announced."""
    secret = rds.secrets.create("prod/app", user)
    made = (await call(rds, False, "rotate_secret", SecretId="prod/app"))["VersionId"]
    await eventually_async(lambda: secret.stages["AWSCURRENT"] == made)
    assert logs_in(rds, secret.fields())
    described = await call(rds, False, "describe_secret", SecretId="prod/app")
    assert described["LastRotatedDate"].timestamp() == pytest.approx(time.time(), abs=30)


async def test_a_rotation_that_was_given_up(rds: RdsEmulator, user: str) -> None:
    """Its version stays pending, first without a value; the next rotation goes on with it."""
    secret = rds.secrets.create("prod/app", user)
    assert list(secret.rotation(steps=())) == []
    pending = secret.stages["AWSPENDING"]
    read = call(rds, False, "get_secret_value", SecretId="prod/app", VersionStage="AWSPENDING")
    assert (await refusal(read))[2].endswith("staging label: AWSPENDING")
    with pytest.raises(AwsError, match="ResourceNotFoundException"):
        secret.fields("AWSPENDING")
    rotate = call(rds, False, "rotate_secret", SecretId="prod/app")
    assert (await refusal(rotate))[2] == (
        "A previous rotation isn't complete. That rotation will be reattempted."
    )
    for step in secret.rotation():
        if step == "setSecret":
            break
    password = secret.fields("AWSPENDING")["password"]
    secret.rotate()
    assert secret.stages["AWSCURRENT"] == pending
    assert secret.fields()["password"] == password
    assert logs_in(rds, secret.fields())


def test_edits_by_hand(rds: RdsEmulator, user: str) -> None:
    """A new version does not reach the database before it is told; labels can be moved back."""
    secret = rds.secrets.create("prod/app", user)
    before = secret.stages["AWSCURRENT"]
    secret.put(secret.fields() | {"password": "by hand"})
    assert not logs_in(rds, secret.fields())
    assert logs_in(rds, secret.fields("AWSPREVIOUS"))
    secret.move("AWSCURRENT", before)
    assert logs_in(rds, secret.fields())
    secret.set_password("AWSPREVIOUS")
    assert not logs_in(rds, secret.fields())
    assert logs_in(rds, secret.fields("AWSPREVIOUS"))


async def test_deleted_and_restored(rds: RdsEmulator) -> None:
    """By hand as over HTTP."""
    secret = rds.secrets.store("app", None)
    secret.put(b"bytes")
    read = {"rds": rds, "is_async": False, "operation": "get_secret_value", "SecretId": "app"}
    secret.delete()
    assert (await refusal(call(**read)))[1] == "InvalidRequestException"
    secret.restore()
    assert (await call(**read))["SecretBinary"] == b"bytes"
    secret.delete(force=True)
    assert (await refusal(call(**read)))[1] == "ResourceNotFoundException"
    rds.secrets.store("app", "again")
    rds.secrets.clear()
    assert (await refusal(call(**read)))[1] == "ResourceNotFoundException"


@pytest.mark.parametrize("value", ["{not json", '["list"]', b'{"username": "u"}'])
def test_what_cannot_be_rotated(rds: RdsEmulator, value: Any) -> None:
    """A secret that is no JSON object is refused in a sentence that does not quote it."""
    secret = rds.secrets.store("app", value)
    with pytest.raises(ValueError, match="holds no JSON object") as caught:
        secret.rotate()
    assert "".join(traceback.format_exception(caught.value)).count(repr(value)) == 0


def test_the_database_says_no(rds: RdsEmulator, user: str) -> None:
    """The step testSecret fails when the new password does not work, and AWSCURRENT stays."""
    secret = rds.secrets.create("prod/app", user)
    before = secret.stages["AWSCURRENT"]
    rds.execute(f"ALTER ROLE {user} NOLOGIN")
    with pytest.raises(RuntimeError, match=f"pending secret of secret ARN {secret.arn}"):
        secret.rotate()
    assert secret.stages["AWSCURRENT"] == before
    rds.execute(f"ALTER ROLE {user} LOGIN")
    secret.rotate()
    assert logs_in(rds, secret.fields())


def test_names_and_passwords() -> None:
    """Two users alternate; passwords are random and hold what AWS's hold."""
    assert other_user("app") == "app_clone"
    assert other_user("app_clone") == "app"
    made = {new_password() for _ in range(100)}
    assert len(made) == 100
    assert not set("".join(made)) & set(":/@\"'\\ ")
