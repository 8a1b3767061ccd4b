"""What the emulated services have in common: their life, their faults and their records."""

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import aiohttp
import botocore.exceptions
import botocore.parsers
import pytest
from aws_support import Account
from emulator_support import Do
from patience import DEADLINE, SOON, eventually

from sqlalchemy_rds_iam.testing.aws.endpoints import AwsEndpoints
from sqlalchemy_rds_iam.testing.aws.identities import Identities
from sqlalchemy_rds_iam.testing.aws.service import AwsError


def assume(account: Account, **more: Any) -> dict[str, Any]:
    """The arguments of AssumeRole for the account's role."""
    return {"RoleArn": account.role.arn, "RoleSessionName": "web", **more}


FAULTS: list[tuple[Any, type[Exception], str]] = [
    (AwsError(400, "Throttling", "Rate exceeded"), botocore.exceptions.ClientError, "Throttling"),
    (AwsError(503, "ServiceUnavailable", "a < b"), botocore.exceptions.ClientError, "a < b"),
    ("garbage", botocore.parsers.ResponseParserError, "invalid XML"),
    ("reset", botocore.exceptions.ConnectionClosedError, "closed before"),
    ("hang", botocore.exceptions.ConnectionClosedError, "closed before"),
]


@pytest.mark.parametrize(("failure", "error", "says"), FAULTS)
async def test_a_fault_looks_to_clients_as_the_real_one(
    account: Account, ask_sts: Do, failure: Any, error: type[Exception], says: str
) -> None:
    """Each fault raises what users see, for as many calls as was said, of the named operation."""
    account.aws.sts.hang_seconds = 0.02
    account.aws.sts.fail(failure, times=2, operation="AssumeRole")
    for _ in range(2):
        with pytest.raises(error, match=says):
            await ask_sts("assume_role", **assume(account))
        await ask_sts("get_caller_identity")
    await ask_sts("assume_role", **assume(account))
    account.aws.sts.fail(failure)
    with pytest.raises(error, match=says):
        await ask_sts("get_caller_identity")
    account.aws.sts.recover()
    await ask_sts("get_caller_identity")


async def test_latency_holds_answers_back(account: Account, ask_sts: Do) -> None:
    """A slow STS answers, later."""
    account.aws.sts.latency = 0.04
    begun = time.monotonic()
    await ask_sts("get_caller_identity")
    assert time.monotonic() - begun >= 0.04


async def test_records_name_the_caller_and_no_secret(
    account: Account, ask_sts: Do, caplog: pytest.LogCaptureFixture
) -> None:
    """What is kept and logged identifies requests without holding anything to log in with."""
    for name in ("botocore", "aiobotocore"):  # they log signatures and answers themselves
        caplog.set_level(logging.WARNING, logger=name)
    caplog.set_level(logging.DEBUG)
    answer = await ask_sts("assume_role", **assume(account))
    secret = "a-web-identity-token"
    query = f"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&WebIdentityToken={secret}"
    async with aiohttp.ClientSession() as http:
        await http.get(f"{account.aws.sts_url}/?{query}")
    with pytest.raises(botocore.exceptions.ClientError):
        await ask_sts("assume_role", **assume(account, RoleSessionName="!!"))
    sts = account.aws.sts
    assert [(r.operation, r.access_key, r.status) for r in sts.records] == [
        ("AssumeRole", account.key.access_key, 200),
        ("AssumeRoleWithWebIdentity", None, 400),
        ("AssumeRole", account.key.access_key, 400),
    ]
    kept = repr(sts.records) + repr(sts) + repr(vars(sts)) + caplog.text
    for hidden in (
        secret,
        account.key.secret_key,
        answer["Credentials"]["SecretAccessKey"],
        answer["Credentials"]["SessionToken"],
    ):
        assert hidden not in kept


async def test_a_storm_is_answered_and_counted(account: Account, ask_sts: Do) -> None:
    """Twenty callers at once get twenty different keys, and the counter sees each."""
    answers = await asyncio.gather(*(ask_sts("assume_role", **assume(account)) for _ in range(20)))
    assert len({answer["Credentials"]["AccessKeyId"] for answer in answers}) == 20
    assert account.aws.sts.calls == {"AssumeRole": 20}


async def test_stop_drops_calls_in_flight(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hung and slow callers do not delay stop; they see a closed connection."""
    aws = AwsEndpoints(Identities())
    await aws.start()
    aws.sts.fail("hang")
    aws.imds.latency = 60
    async with aiohttp.ClientSession() as http:
        calls = [
            asyncio.ensure_future(http.post(aws.sts_url, data={"Action": "GetCallerIdentity"})),
            asyncio.ensure_future(http.put(aws.imds_url + "/latest/api/token")),
        ]
        async with asyncio.timeout(DEADLINE):
            while not (aws.sts.calls and aws.imds.calls):
                await asyncio.sleep(0)
            begun = time.monotonic()
            await aws.stop()
            assert time.monotonic() - begun < SOON
            results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, aiohttp.ClientConnectionError) for result in results)
    assert [record.status for record in aws.sts.records + aws.imds.records] == [None, None]


async def test_a_client_that_gives_up_ends_the_call(account: Account) -> None:
    """A hung call does not outlive its client: no work piles up in the server."""
    account.aws.sts.fail("hang")
    timeout = aiohttp.ClientTimeout(total=0.03)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        with pytest.raises(TimeoutError):
            await http.post(account.aws.sts_url)

    async def handlers() -> int:
        return sum("RequestHandler.start" in repr(task) for task in asyncio.all_tasks())

    eventually(
        lambda: not account.run(handlers()), "the handler of a call without a client lives on"
    )


async def test_endpoints_start_and_stop_again() -> None:
    """Addresses exist only while serving; stop is idempotent and start can follow it."""
    aws = AwsEndpoints(Identities())
    with pytest.raises(RuntimeError, match=r"STS endpoint .* await start\(\)"):
        aws.environ()
    await aws.stop()
    for _ in range(2):
        await aws.start()
        with pytest.raises(RuntimeError, match="running already at http"):
            await aws.start()
        assert aws.environ() == {
            "AWS_ENDPOINT_URL_STS": aws.sts_url,
            "AWS_ENDPOINT_URL_SSO": aws.sso_url,
            "AWS_ENDPOINT_URL_SSO_OIDC": aws.sso_url,
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": aws.secrets_url,
            "AWS_ENDPOINT_URL_RDS": aws.rds.url,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": aws.imds_url,
        }
        assert aws.container_url.startswith("http://127.0.0.1:")
        await aws.stop()
        await aws.stop()
        with pytest.raises(RuntimeError, match="no address"):
            _ = aws.sts_url
