"""Support for the tests of the emulated AWS endpoints: a served account and real SDK clients."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from emulator_support import MODELS
from patience import DEADLINE

from sqlalchemy_rds_iam.testing.aws.endpoints import AwsEndpoints
from sqlalchemy_rds_iam.testing.aws.identities import AccessKey, Identities

pytest.importorskip("aiobotocore", reason="the endpoints are tested with both SDKs")

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

REGION = "eu-central-1"


class Clock:
    """The real time, `offset` seconds away."""

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        """Epoch seconds."""
        return time.time() + self.offset


class Account:
    """An account with one user and one role, its endpoints served by a loop in a thread."""

    def __init__(self, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self.clock = Clock()
        self.identities = Identities(self.clock)
        self.user = self.identities.user("ci")
        self.role = self.identities.role("app")
        self.key = self.identities.issue(self.user)
        self.aws = AwsEndpoints(self.identities)
        self.run = run


@contextmanager
def served_account(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[Account]:
    """Serve an account until the block ends, as the only AWS the SDK can find."""
    isolate(monkeypatch, home)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(DEADLINE)

    account = Account(run)
    run(account.aws.start())
    for name, value in account.aws.environ().items():
        monkeypatch.setenv(name, value)
    try:
        yield account
    finally:
        run(account.aws.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(DEADLINE)
        loop.close()


def isolate(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Hide the machine's AWS set-up and proxies from the SDK."""
    for name in list(os.environ):
        if name.upper().startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name, value in {
        "HOME": home,
        "AWS_CONFIG_FILE": home / "config",
        "AWS_SHARED_CREDENTIALS_FILE": home / "credentials",
        "BOTO_CONFIG": home / "boto",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, str(value))


async def call_sts(
    account: Account,
    is_async: bool,
    operation: str,
    key: AccessKey | None = None,
    **arguments: Any,
) -> Any:
    """Perform one STS operation with aiobotocore or botocore, never retrying.

    The client signs with `key`, the user's by default, and leaves the judgement of the arguments to
    the server.
    """
    key = key or account.key
    settings = {
        "retries": {"max_attempts": 0},
        "read_timeout": 10,
        "parameter_validation": False,
    }
    where = {
        "region_name": REGION,
        "aws_access_key_id": key.access_key,
        "aws_secret_access_key": key.secret_key,
        "aws_session_token": key.session_token,
        "verify": False,  # there is no TLS: aiobotocore reads the CA bundle for each client
    }
    session = AioSession() if is_async else botocore.session.Session()
    session.register_component("data_loader", MODELS)
    if is_async:
        config = AioConfig(**settings)
        async with session.create_client("sts", config=config, **where) as client:
            return await getattr(client, operation)(**arguments)

    def perform() -> Any:
        client = session.create_client("sts", config=Config(**settings), **where)
        with closing(client):
            return getattr(client, operation)(**arguments)

    return await asyncio.to_thread(perform)


async def found_by_chain(is_async: bool) -> tuple[str, ReadOnlyCredentials] | None:
    """What the default credential chain finds: the provider's name and the key, or None."""
    if is_async:
        aio_credentials = await AioSession().get_credentials()
        if aio_credentials is None:
            return None
        method, frozen = aio_credentials.method, await aio_credentials.get_frozen_credentials()
    else:
        credentials = await asyncio.to_thread(botocore.session.Session().get_credentials)
        if credentials is None:
            return None
        method = credentials.method
        frozen = await asyncio.to_thread(credentials.get_frozen_credentials)
    return method, frozen
