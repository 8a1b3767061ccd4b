"""The emulated Secrets Manager, as real botocore and aiobotocore clients see it."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest
from emulator_support import Do
from secrets_support import both_sdks, call, refusal

from sqlalchemy_rds_iam.testing import RdsEmulator

NOT_FOUND = (
    400,
    "ResourceNotFoundException",
    "Secrets Manager can't find the specified secret.",
)
NO_VALUE = "Secrets Manager can't find the specified secret value for "
DELETED = (
    400,
    "InvalidRequestException",
    "You can't perform this operation on the secret because it was marked for deletion.",
)


@pytest.mark.parametrize("name", ["a", "prod/app/db", "Valid/_+=.@-Name-a1b2", "x-a1b2c3-"])
async def test_every_spelling_finds_the_secret(ask_secrets: Do, name: str) -> None:
    """The name, the ARN, and the ARN without its random part lead to the same value."""
    created = await ask_secrets("create_secret", Name=name, SecretString="s3cret")
    for identifier in (name, created["ARN"], created["ARN"][:-7]):
        answer = await ask_secrets("get_secret_value", SecretId=identifier)
        assert answer["SecretString"] == "s3cret"
        assert answer["ARN"] == created["ARN"]
        assert answer["VersionId"] == created["VersionId"]
        assert answer["VersionStages"] == ["AWSCURRENT"]
        assert answer["CreatedDate"].timestamp() == pytest.approx(time.time(), abs=30)


async def test_other_spellings_do_not(ask_secrets: Do) -> None:
    """Neither name and random part, nor another region; a suffix that looks random counts as one.

    The last was recorded from AWS: a partial ARN of a name like "name-a1b2c3" finds nothing.
    """
    arn = (await ask_secrets("create_secret", Name="prod/app", SecretString="s"))["ARN"]
    suffixed = (await ask_secrets("create_secret", Name="name-a1b2c3", SecretString="s"))["ARN"]
    for identifier in (
        arn.rpartition(":")[2],
        arn[:-6] + "zzzzzz",
        arn[:-7].replace("us-east-1", "eu-west-1"),
        suffixed[:-7],
        "PROD/APP",
    ):
        assert await refusal(ask_secrets("get_secret_value", SecretId=identifier)) == NOT_FOUND
    elsewhere = ask_secrets("get_secret_value", SecretId="prod/app", region="eu-west-1")
    assert await refusal(elsewhere) == NOT_FOUND
    foreign = ask_secrets("get_secret_value", SecretId=arn.replace("123456789012", "999999999999"))
    status, code, text = await refusal(foreign)
    assert (status, code) == (400, "AccessDeniedException")
    assert "because no resource-based policy allows the secretsmanager:GetSecretValue" in text


async def test_versions_by_id_and_stage(ask_secrets: Do) -> None:
    """A version has an id and labels; both together must name the same one."""
    first = (await ask_secrets("create_secret", Name="app", SecretString="one"))["VersionId"]
    put = await ask_secrets("put_secret_value", SecretId="app", SecretString="two")
    assert put["VersionStages"] == ["AWSCURRENT"]
    second = put["VersionId"]
    for arguments, expected in (
        ({}, "two"),
        ({"VersionStage": "AWSPREVIOUS"}, "one"),
        ({"VersionId": first}, "one"),
        ({"VersionId": second, "VersionStage": "AWSCURRENT"}, "two"),
    ):
        assert (await ask_secrets("get_secret_value", SecretId="app", **arguments))[
            "SecretString"
        ] == expected
    unknown = str(uuid.uuid4())
    for arguments, expected in (
        ({"VersionStage": "AWSPENDING"}, "staging label: AWSPENDING"),
        ({"VersionId": unknown}, f"VersionId: {unknown}"),
    ):
        refused = await refusal(ask_secrets("get_secret_value", SecretId="app", **arguments))
        assert refused == (400, "ResourceNotFoundException", NO_VALUE + expected)
    mismatch = ask_secrets(
        "get_secret_value", SecretId="app", VersionId=first, VersionStage="AWSCURRENT"
    )
    assert (await refusal(mismatch))[1] == "InvalidRequestException"


async def test_labels_move_as_aws_moves_them(ask_secrets: Do) -> None:
    """Labels after each operation are those that have been recorded of the real service.

    AWSPREVIOUS follows AWSCURRENT, AWSPENDING stays on a version that became current until the next
    one comes, and a version without labels is listed only when asked for.
    """

    async def labels() -> dict[str, list[str]]:
        listed = (await ask_secrets("list_secret_version_ids", SecretId="app"))["Versions"]
        described = (await ask_secrets("describe_secret", SecretId="app"))["VersionIdsToStages"]
        found = {each["VersionId"]: each["VersionStages"] for each in listed}
        assert found == described
        return {names[each]: stages for each, stages in found.items()}

    async def put(name: str, *stages: str) -> None:
        made = await ask_secrets(
            "put_secret_value", SecretId="app", SecretString=name, VersionStages=list(stages)
        )
        names[made["VersionId"]] = name
        ids[name] = made["VersionId"]

    async def move(stage: str, source: str | None, target: str | None) -> Any:
        versions = {"RemoveFromVersionId": source, "MoveToVersionId": target}
        given = {key: ids[each] for key, each in versions.items() if each is not None}
        return await ask_secrets(
            "update_secret_version_stage", SecretId="app", VersionStage=stage, **given
        )

    names: dict[str, str] = {}
    ids: dict[str, str] = {}
    assert "VersionId" not in await ask_secrets("create_secret", Name="app")
    assert "VersionIdsToStages" not in await ask_secrets("describe_secret", SecretId="app")
    await put("v1", "AWSPENDING")
    assert await labels() == {"v1": ["AWSCURRENT", "AWSPENDING"]}
    await put("v2", "AWSPENDING", "mine")
    assert await labels() == {"v1": ["AWSCURRENT"], "v2": ["AWSPENDING", "mine"]}
    await move("AWSCURRENT", "v1", "v2")
    assert await labels() == {"v1": ["AWSPREVIOUS"], "v2": ["AWSCURRENT", "AWSPENDING", "mine"]}
    assert (await ask_secrets("get_secret_value", SecretId="app"))["SecretString"] == "v2"
    await put("v3", "AWSCURRENT")
    assert await labels() == {"v2": ["AWSPREVIOUS", "mine"], "v3": ["AWSCURRENT"]}
    await put("v4", "AWSPENDING")
    await move("AWSCURRENT", "v3", "v4")
    assert await labels() == {
        "v2": ["mine"],
        "v3": ["AWSPREVIOUS"],
        "v4": ["AWSCURRENT", "AWSPENDING"],
    }
    everything = await ask_secrets(
        "list_secret_version_ids", SecretId="app", IncludeDeprecated=True
    )
    assert len(everything["Versions"]) == 4
    await move("mine", "v2", None)
    assert "v2" not in await labels()
    for arguments in (("AWSCURRENT", None, "v3"), ("AWSCURRENT", "v3", "v1"), ("mine", "v1", "v3")):
        assert (await refusal(move(*arguments)))[1] == "InvalidParameterException"
    assert (await refusal(move("AWSCURRENT", "v4", None)))[1] == "InvalidParameterException"


async def test_a_version_is_written_once(ask_secrets: Do) -> None:
    """The same token and value do nothing, the same token and another value are refused."""
    token = str(uuid.uuid4())
    await ask_secrets("create_secret", Name="app", SecretString="one")
    for _ in range(2):
        written = {"SecretId": "app", "SecretString": "two", "ClientRequestToken": token}
        assert (await ask_secrets("put_secret_value", **written))["VersionId"] == token
    conflict = ask_secrets("put_secret_value", **written | {"SecretString": "three"})
    status, code, text = await refusal(conflict)
    assert (status, code) == (400, "ResourceExistsException")
    assert text.startswith(
        f"You can't use ClientRequestToken {token} because that value is already"
    )
    updated = await ask_secrets(
        "update_secret", SecretId="app", SecretString="three", Description="words"
    )
    assert (await ask_secrets("get_secret_value", SecretId="app"))["VersionId"] == updated[
        "VersionId"
    ]
    assert (await ask_secrets("describe_secret", SecretId="app"))["Description"] == "words"


@pytest.mark.parametrize(
    ("operation", "arguments", "expected"),
    [
        ("create_secret", {"Name": "app"}, "ResourceExistsException"),
        ("create_secret", {"Name": "no blanks"}, "ValidationException"),
        ("create_secret", {}, "ValidationException"),
        ("get_secret_value", {"SecretId": ""}, "ValidationException"),
        ("get_secret_value", {"SecretId": "nothing"}, "ResourceNotFoundException"),
        ("put_secret_value", {"SecretId": "app"}, "InvalidRequestException"),
        (
            "put_secret_value",
            {"SecretId": "app", "SecretString": "a", "SecretBinary": b"b"},
            "InvalidParameterException",
        ),
        (
            "put_secret_value",
            {"SecretId": "app", "SecretString": "a", "ClientRequestToken": "short"},
            "InvalidParameterException",
        ),
        (
            "put_secret_value",
            {"SecretId": "app", "SecretString": "a" * 65537},
            "InvalidParameterException",
        ),
        ("rotate_secret", {"SecretId": "app"}, "InvalidRequestException"),
        (
            "rotate_secret",
            {"SecretId": "app", "RotationLambdaARN": "arn:aws:lambda:x"},
            "AccessDeniedException",
        ),
        ("list_secrets", {}, "UnknownOperationException"),
    ],
)
@both_sdks
async def test_refusals(
    rds: RdsEmulator, is_async: bool, operation: str, arguments: dict[str, Any], expected: str
) -> None:
    """What cannot be done is refused with AWS's code and status 400."""
    rds.secrets.store("app", "value")
    status, code, _ = await refusal(call(rds, is_async, operation, **arguments))
    assert (status, code) == (400, expected)


async def test_values_are_text_or_bytes(ask_secrets: Do, rds: RdsEmulator) -> None:
    """A secret without a value says so; bytes come back as bytes, any text as that text."""
    await ask_secrets("create_secret", Name="app")
    empty = await refusal(ask_secrets("get_secret_value", SecretId="app"))
    assert empty == (400, "ResourceNotFoundException", NO_VALUE + "staging label: AWSCURRENT")
    await ask_secrets("put_secret_value", SecretId="app", SecretBinary=b"\x00\xff")
    answer = await ask_secrets("get_secret_value", SecretId="app")
    assert answer["SecretBinary"] == b"\x00\xff"
    assert "SecretString" not in answer
    text = 'plän ☃ "quoted"\n{\''
    rds.secrets.store("text", text)
    assert (await ask_secrets("get_secret_value", SecretId="text"))["SecretString"] == text


async def test_deletion(ask_secrets: Do, rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deleted secret can be described and restored, not read, until its time has come."""
    arn = (await ask_secrets("create_secret", Name="app", SecretString="s"))["ARN"]
    deletion = (await ask_secrets("delete_secret", SecretId="app", RecoveryWindowInDays=7))[
        "DeletionDate"
    ]
    assert deletion.timestamp() == pytest.approx(time.time() + 7 * 86400, abs=30)
    for operation in ("get_secret_value", "put_secret_value", "delete_secret", "rotate_secret"):
        assert await refusal(ask_secrets(operation, SecretId="app")) == DELETED
    assert (await ask_secrets("describe_secret", SecretId="app"))["DeletedDate"] == deletion
    status, code, text = await refusal(ask_secrets("create_secret", Name="app"))
    assert (status, code) == (400, "InvalidRequestException")
    assert text.endswith("a secret with this name is already scheduled for deletion.")
    await ask_secrets("restore_secret", SecretId="app")
    assert (await ask_secrets("get_secret_value", SecretId="app"))["SecretString"] == "s"
    await ask_secrets("delete_secret", SecretId="app")
    monkeypatch.setattr(rds, "clock", lambda: time.time() + 31 * 86400)
    rds.secrets.store("app", "the name is free again")
    monkeypatch.setattr(rds, "clock", time.time)
    for _ in range(2):
        await ask_secrets("delete_secret", SecretId="app", ForceDeleteWithoutRecovery=True)
    assert await refusal(ask_secrets("get_secret_value", SecretId=arn)) == NOT_FOUND
    assert (await ask_secrets("create_secret", Name="app"))["ARN"] != arn
    assert await refusal(ask_secrets("get_secret_value", SecretId=arn)) == NOT_FOUND
