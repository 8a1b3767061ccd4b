"""A cold start of everything at once asks AWS once, and signs once."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from families import BOTH, Words
from patience import DEADLINE
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from sqlalchemy_rds_iam._aws.credentials import AwsSource
from sqlalchemy_rds_iam._aws.sigv4 import sign
from sqlalchemy_rds_iam.testing import RdsEmulator

WAYS = ["botocore", pytest.param("aiobotocore", marks=pytest.mark.aiobotocore)]


@pytest.fixture
def role_profile(rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RdsEmulator:
    """A profile that assumes a role, so that credentials have to come from STS."""
    role = rds.identities.role("app")
    config = tmp_path / "config"
    config.write_text(
        "[profile app]\n"
        f"role_arn = {role.arn}\n"
        "source_profile = base\n"
        "[profile base]\n"
        f"aws_access_key_id = {rds.key.access_key}\n"
        f"aws_secret_access_key = {rds.key.secret_key}\n"
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "app")
    return rds


@pytest.fixture
def signatures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The endpoint of every token that is signed."""
    signed: list[Any] = []

    def spy(credentials: Any, endpoint: Any, now: float) -> Any:
        signed.append(endpoint)
        return sign(credentials, endpoint, now)

    monkeypatch.setattr(AwsSource, "token", staticmethod(spy))
    return signed


@pytest.mark.parametrize("way", WAYS)
@BOTH
def test_threads_and_tasks_on_three_loops(
    role_profile: RdsEmulator, signatures: list[Any], way: str, words: Words
) -> None:
    """Hundreds of threads and tasks on three event loops: one AssumeRole call and one signature."""
    # A login of MySQL's takes the emulator longer, and there is a limit to each.
    many = 200 if words.family == "postgresql" else 50
    rds = role_profile
    calls = rds.aws.sts.calls["AssumeRole"]
    start = threading.Barrier(many + 3)
    failures: list[BaseException] = []

    def in_thread() -> None:
        try:
            start.wait(DEADLINE)
            with engine.connect() as connection:
                connection.execute(text("select 1"))
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    async def in_loop(tasks: int) -> None:
        url = rds.url(words.asynchronous, rds_iam_credentials=way)
        async_engine = create_async_engine(url, poolclass=NullPool)

        async def connect() -> None:
            async with async_engine.connect() as connection:
                await connection.execute(text("select 1"))

        start.wait(DEADLINE)
        results = await asyncio.gather(*(connect() for _ in range(tasks)), return_exceptions=True)
        failures.extend(error for error in results if error is not None)
        await async_engine.dispose()

    engine = create_engine(rds.url(words.sync), poolclass=NullPool)
    threads = [threading.Thread(target=in_thread) for _ in range(many)]
    threads += [threading.Thread(target=lambda: asyncio.run(in_loop(many // 3))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert failures == []
    assert rds.metrics["IamDbAuthConnectionSuccess"] == many + many // 3 * 3
    assert rds.aws.sts.calls["AssumeRole"] - calls == 1
    assert len(signatures) == 1


@BOTH
def test_identities_and_endpoints_do_not_share(
    rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch, signatures: list[Any], words: Words
) -> None:
    """Another key in the environment, or another user, has its own token."""
    rds.create_user("second")
    rds.execute(words.enter("second", "app"))
    engines = [create_engine(rds.url(words.sync, user=user)) for user in ("app", "second")]
    other = rds.identities.issue(rds.identities.user("other"))
    for name, value in other.environ().items():
        monkeypatch.setenv(name, value)
    engines.append(create_engine(rds.url(words.sync)))
    for engine, key in zip(engines, (rds.key, rds.key, other), strict=True):
        for name, value in key.environ().items():
            monkeypatch.setenv(name, value)
        for _ in range(2):
            with engine.connect() as connection:
                connection.execute(text("select 1"))
        engine.dispose()
    used = [(decision.db_user, decision.access_key) for decision in rds.decisions]
    assert used == [
        ("app", rds.key.access_key),
        ("second", rds.key.access_key),
        ("app", other.access_key),
    ]
    assert len(signatures) == 3
