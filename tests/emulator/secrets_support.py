"""Support for the tests of secrets: SDK clients that never retry, and a login with a secret."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import closing
from functools import cache
from typing import Any

import botocore.exceptions
import botocore.session
import psycopg
import pytest
from botocore.config import Config

from sqlalchemy_rds_iam.testing import AccessKey, RdsEmulator

both_sdks = pytest.mark.parametrize(
    "is_async",
    [False, pytest.param(True, marks=pytest.mark.aiobotocore)],
    ids=["botocore", "aiobotocore"],
)


# Kept, because each reads the models of the services again.
@cache
def _session() -> botocore.session.Session:
    return botocore.session.Session()


@cache
def _aio_session() -> Any:
    from aiobotocore.session import AioSession

    return AioSession()


async def call(
    rds: RdsEmulator,
    is_async: bool,
    operation: str,
    *,
    key: AccessKey | None = None,
    region: str = "us-east-1",
    **arguments: Any,
) -> Any:
    """Perform one operation of Secrets Manager; the judgement of arguments is the server's."""
    key = key or rds.key
    where = {
        "endpoint_url": rds.aws.secrets_url,
        "region_name": region,
        "aws_access_key_id": key.access_key,
        "aws_secret_access_key": key.secret_key,
        "aws_session_token": key.session_token,
    }
    settings = {"retries": {"max_attempts": 0}, "read_timeout": 10, "parameter_validation": False}
    if is_async:
        from aiobotocore.config import AioConfig

        config = AioConfig(**settings)
        async with _aio_session().create_client("secretsmanager", config=config, **where) as client:
            return await getattr(client, operation)(**arguments)

    def perform() -> Any:
        config = Config(**settings)
        with closing(_session().create_client("secretsmanager", config=config, **where)) as client:
            return getattr(client, operation)(**arguments)

    return await asyncio.to_thread(perform)


async def refusal(work: Awaitable[Any]) -> tuple[int, str, str]:
    """Status, code and message that `work` is refused with."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        await work
    response = caught.value.response
    error = response["Error"]
    return response["ResponseMetadata"]["HTTPStatusCode"], error["Code"], error["Message"]


def logs_in(rds: RdsEmulator, fields: dict[str, Any], **changes: Any) -> bool:
    """Whether the gateway lets in a client with these fields of a secret, as the user they name.

    Any other failure than that of a wrong password is raised.
    """
    host, port = rds.address
    arguments = {
        "host": fields.get("host", host),
        "port": fields.get("port", port),
        "user": fields["username"],
        "password": fields["password"],
        "dbname": fields.get("dbname", "postgres"),
        "sslmode": "verify-full",
        "sslrootcert": str(rds.ca_file),
    }
    try:
        with psycopg.connect(**arguments | changes) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (fields["username"],)
            return True
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            return False
        raise
