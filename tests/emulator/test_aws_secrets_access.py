"""Who may read the emulated secrets, what is recorded of it, and what faults look like."""

from __future__ import annotations

import functools
import json
import urllib.error
import urllib.request
from dataclasses import replace

import botocore.exceptions
import pytest
from emulator_support import Do
from patience import DEADLINE
from secrets_support import both_sdks, call, refusal

from sqlalchemy_rds_iam.testing import (
    DECRYPTION_FAILURE,
    INTERNAL_ERROR,
    KMS_DENIED,
    THROTTLED,
    AwsError,
    RdsEmulator,
)


async def test_permission(ask_secrets: Do, rds: RdsEmulator) -> None:
    """A principal without it is told who it is, what it may not do and with what; first of all."""
    secret = rds.secrets.store("prod/app", "s")
    user = rds.identities.user("reader")
    role = rds.identities.role("reader")
    for principal, arn in (
        (user, "arn:aws:iam::123456789012:user/reader"),
        (role, "arn:aws:sts::123456789012:assumed-role/reader/session"),
    ):
        key = rds.identities.issue(principal, lifetime=None if principal is user else 900)
        assert (await ask_secrets("get_secret_value", SecretId="prod/app", key=key))[
            "SecretString"
        ] == "s"
        principal.secrets = frozenset({"other"})
        for identifier, resource in (("prod/app", secret.arn), ("nothing", "nothing")):
            refused = await refusal(ask_secrets("get_secret_value", SecretId=identifier, key=key))
            denied = (
                f"User: {arn} is not authorized to perform: secretsmanager:GetSecretValue on "
                f"resource: {resource} because no identity-based policy allows the "
                "secretsmanager:GetSecretValue action"
            )
            assert refused == (400, "AccessDeniedException", denied)
        principal.secrets = frozenset({"prod/app"})
        await ask_secrets("get_secret_value", SecretId=secret.arn, key=key)
    rds.identities.revoke(role)
    revoked = await refusal(ask_secrets("get_secret_value", SecretId=secret.arn, key=key))
    assert revoked[1] == "AccessDeniedException"
    assert "explicit deny" in revoked[2]


async def test_identity(ask_secrets: Do, rds: RdsEmulator) -> None:
    """Expired, unknown and forged keys are refused under the names of the JSON protocol."""
    rds.secrets.store("app", "s")
    principal = rds.identities.user("reader")
    known = rds.identities.issue(principal)
    for key, code in (
        (rds.identities.issue(principal, lifetime=-1), "ExpiredTokenException"),
        (replace(known, access_key="AKIAUNKNOWN"), "UnrecognizedClientException"),
        (replace(known, secret_key="another"), "InvalidSignatureException"),
    ):
        status, found, _ = await refusal(ask_secrets("get_secret_value", SecretId="app", key=key))
        assert (status, found) == (400, code)


def test_unsigned_and_unreadable(rds: RdsEmulator) -> None:
    """A request without a signature or a body gets an answer, too, and has no value recorded."""
    for headers, code in (
        ({"X-Amz-Target": "secretsmanager.GetSecretValue"}, "MissingAuthenticationTokenException"),
        ({"X-Amz-Target": "ssm.GetParameter"}, "UnknownOperationException"),
        ({}, "UnknownOperationException"),
    ):
        request = urllib.request.Request(rds.aws.secrets_url, b"{", headers)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=DEADLINE)
        assert caught.value.code == 400
        assert json.load(caught.value)["__type"] == code
        assert rds.aws.secrets.records[-1].arguments == {}


@pytest.mark.parametrize(
    "fault", [THROTTLED, INTERNAL_ERROR, DECRYPTION_FAILURE, KMS_DENIED], ids=lambda f: f.code
)
@both_sdks
async def test_faults(rds: RdsEmulator, is_async: bool, fault: AwsError) -> None:
    """Each fault is what AWS answers, for as many calls as was said; all are counted."""
    rds.secrets.store("app", "s")
    before = len(rds.aws.secrets.records)
    rds.aws.secrets.fail(fault, times=1, operation="GetSecretValue")
    read = functools.partial(call, rds, is_async, "get_secret_value", SecretId="app")
    assert await refusal(read()) == (fault.status, fault.code, fault.message)
    assert (await read(VersionStage="AWSCURRENT"))["SecretString"] == "s"
    assert [(each.status, each.arguments) for each in rds.aws.secrets.records[before:]] == [
        (fault.status, {"SecretId": "app"}),
        (200, {"SecretId": "app", "VersionStage": "AWSCURRENT"}),
    ]


@both_sdks
async def test_the_environment_leads_here(rds: RdsEmulator, is_async: bool) -> None:
    """An SDK finds the endpoint by its variable; one that hangs or resets looks like a network."""
    rds.secrets.store("app", "s")
    session = botocore.session.Session()
    client = session.create_client("secretsmanager")
    assert client.meta.endpoint_url == rds.aws.secrets_url
    assert client.get_secret_value(SecretId="app")["SecretString"] == "s"
    client.close()
    rds.aws.secrets.fail("reset", times=1)
    with pytest.raises(botocore.exceptions.ConnectionClosedError):
        await call(rds, is_async, "get_secret_value", SecretId="app")
