"""`token` and `async_token`: fetched once, renewed, shared with engines, threads and children."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from events_support import Seen
from faults_support import Clock, Provider
from patience import DEADLINE, eventually_async
from soak.children import Child, held
from sqlalchemy import create_engine, text

from sqlalchemy_rds_iam import (
    WaitTimeout,
    _token,
    async_token,
    plugin,
    token,
)
from sqlalchemy_rds_iam.testing import RdsEmulator

URL_ = "postgresql://app@mydb.abc123.eu-central-1.rds.amazonaws.com/app"
Signs = Callable[..., str]


def test_one_cache(
    container: Provider,
    rds: RdsEmulator,
    signs: Signs,
    seen: Seen,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One fetch is enough for all calls, for other endpoints, and for an engine."""
    monkeypatch.setattr(container.service, "lifetime", 3600.0)
    url, before = rds.url(), container.calls
    first = signs(url)
    gc.collect()
    assert signs(url.render_as_string()) is first
    other = signs(url, rds_iam_port="7777", rds_iam_on_event=seen)
    assert other.startswith(f"{rds.endpoint.host}:7777/?")
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.scalar(text("select current_user")) == "app"
    engine.dispose()
    assert container.calls == before + 1
    assert seen.kinds == ["minted"]


def test_renewed(
    container: Provider,
    clock: Clock,
    rds: RdsEmulator,
    signs: Signs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A token that would end soon is not handed out, nor one of credentials that have ended."""
    monkeypatch.setattr(container.service, "lifetime", 3600.0)
    found, before = [], container.calls
    for _ in range(3):
        found.append(signs(rds.url()))
        clock.offset += 3600
    assert len(set(found)) == len(found)
    assert container.calls == before + len(found)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_one_flight(
    container: Provider, rds: RdsEmulator, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers that come at once, each for a URL and a user of its own, wait for the same fetch."""
    monkeypatch.setattr(container.service, "lifetime", 3600.0)
    urls, before = [rds.url(user=f"user{number}") for number in range(8)], container.calls

    async def asked() -> list[str]:
        signing = [asyncio.ensure_future(async_token(url)) for url in urls]
        await eventually_async(gate.reached.is_set, "no fetch")
        gate.open()
        return await asyncio.gather(*signing)

    with container.held(1) as gate:
        if is_async:
            found = asyncio.run(asked())
        else:
            with ThreadPoolExecutor(len(urls)) as pool:
                signing = [pool.submit(token, url) for url in urls]
                assert gate.reached.wait(DEADLINE)
                gate.open()
                found = [each.result(DEADLINE) for each in signing]
    assert all(f"DBUser={url.username}&" in each for url, each in zip(urls, found, strict=True))
    assert container.calls == before + 1


def test_in_time(container: Provider, rds: RdsEmulator, signs: Signs) -> None:
    """A provider that does not answer is waited for as long as the option says, and it says so."""
    with container.held(), pytest.raises(WaitTimeout, match=r"within 0.2 s \(rds_iam_timeout\)"):
        signs(rds.url(), rds_iam_timeout=0.2)


def test_another_environment(
    rds: RdsEmulator, signs: Signs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys that are exchanged in the environment, or by an option, sign from then on."""
    first = signs(URL_)
    other = rds.identities.issue(rds.key.principal)
    for name, value in other.environ().items():
        monkeypatch.setenv(name, value)
    assert rds.key.access_key in first
    assert other.access_key in signs(URL_)
    role = rds.identities.role("orders")
    assert "X-Amz-Security-Token" in signs(URL_, rds_iam_role_arn=role.arn)


def test_the_loop_goes_on(
    rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """While credentials are fetched the event loop runs: it is what lets the fetch end."""
    gate, keys = tmp_path / "gate", tmp_path / "keys"
    keys.write_text(
        f'{{"Version": 1, "AccessKeyId": "{rds.key.access_key}", '
        f'"SecretAccessKey": "{rds.key.secret_key}"}}'
    )
    script = tmp_path / "credentials"
    script.write_text(f"while [ ! -e {gate} ]; do sleep 0.01; done; cat {keys}\n")
    config = tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = sh {script}\n")
    for name in rds.key.environ():
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))

    async def opened() -> str:
        signing = asyncio.ensure_future(async_token(URL_))
        done, _ = await asyncio.wait([signing], timeout=0.05)
        assert not done
        with pytest.raises(WaitTimeout, match=r"within 0.1 s \(rds_iam_timeout\)"):
            await async_token(URL_, rds_iam_timeout=0.1)
        gate.touch()
        return await asyncio.wait_for(signing, DEADLINE)

    assert rds.key.access_key in asyncio.run(opened())


# Python 3.12 and newer warn of every fork of a process with threads.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forked(rds: RdsEmulator, signs: Signs) -> None:
    """A child signs, too, whatever its parent remembers and is about to do."""
    signs(URL_)
    with held(plugin._identities._lock):
        child = Child(lambda: rds.key.access_key in signs(f"{URL_}?rds_iam_port=7777"))
    assert child.result() is True


def test_remembered(rds: RdsEmulator, signs: Signs) -> None:
    """What is equal is the same again, such as a bound method, and what has no hash works, too."""

    class Hook(list[Any]):
        def __call__(self, event: Any) -> None:
            self.append(event)

    class Bound:
        def hook(self, event: Any) -> None:
            hook(event)

    hook, bound, sizes = Hook(), Bound(), []
    for find in (lambda: hook, lambda: bound.hook):
        for _ in range(2):
            assert rds.key.access_key in signs(URL_, rds_iam_on_event=find())
            sizes.append(_token._remembered.cache_info().currsize)
    assert sizes == [1, 1, 2, 2]
