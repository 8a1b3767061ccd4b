"""The server that a fleet shares: how it is reached, what it may be, and what it must not print."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from patience import SOON, eventually
from redis_support import Server, encrypted, lead, pass_through

from sqlalchemy_rds_iam import ConfigError
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._ratelimit.redis_store import storage
from sqlalchemy_rds_iam._ratelimit.shared_limiter import SharedRateLimiter

SECRET = "s3cr3t/pw@x"
QUOTED = "s3cr3t%2Fpw%40x"


@pytest.mark.parametrize("rules", [f">{SECRET} -@all", ">another ~* +@all"])
def test_without_permission(redis_server: Server, said: Any, caplog: Any, rules: str) -> None:
    """A server that refuses is as one that is down, and no password is ever shown."""
    user = f"user{len(rules)}"
    redis_server.admin.execute_command("ACL", "SETUSER", user, "on", *rules.split())
    url = redis_server.url.replace("//", f"//{user}:{QUOTED}@")
    limiter = SharedRateLimiter(200, storage(url), "db")
    for _ in range(3):
        pass_through(limiter, inline=True)
    assert said() == ["WARNING"]
    shown = caplog.text + repr(limiter._storage) + repr(IamOptions(rate_storage=url))
    assert f"rate storage redis://127.0.0.1:{redis_server.port}/0 cannot be used" in shown
    assert "s3cr3t" not in shown


def test_permissions_that_are_enough(redis_server: Server, said: Any) -> None:
    """A user with the permissions that the documentation lists, and a password, can be used."""
    rules = f"reset on >{SECRET} ~rds_iam:* +eval +get +set +time"
    redis_server.admin.execute_command("ACL", "SETUSER", "least", *rules.split())
    limiter = SharedRateLimiter(
        200, storage(redis_server.url.replace("//", f"//least:{QUOTED}@")), "db"
    )
    pass_through(limiter)
    assert said() == []
    assert not limiter._storage.down


def test_the_key_goes_by_itself(redis_server: Server) -> None:
    """Nothing stays on the server once the last turn has passed."""
    limiter = SharedRateLimiter(200, storage(redis_server.url), "db")
    pass_through(limiter, inline=True)
    eventually(lambda: redis_server.admin.keys() == [])


def test_clock_set_back(redis_server: Server) -> None:
    """Turns further ahead than any can be are no turns: the server's clock was set back."""
    redis_server.admin.set("rds_iam:db", redis_server.now() + 3_600_000_000)
    begun = time.time()
    assert pass_through(SharedRateLimiter(200, storage(redis_server.url), "db")) - begun < SOON


@pytest.mark.parametrize("url", ["valkey://127.0.0.1:{0.port}/0", "unix://{0.socket}?db=0"])
def test_valkey_and_socket(patient: Server, url: str) -> None:
    """A URL of Valkey is as good as one of Redis, and so is the file of a socket."""
    now = time.monotonic()
    limiter = SharedRateLimiter(200, storage(url.format(patient)), "db", clock=lambda: now)
    before = patient.calls("eval")
    # By this clock a connect has its turn on time, and asks for no other, on a busy machine, too.
    ticket = limiter.enqueue(now, float("inf"))
    lead(limiter, now)
    while ticket is not None:
        now += ticket.wait
        ticket = limiter.poll(ticket, now, float("inf"))
        lead(limiter, now)
    assert patient.calls("eval") == before + 1
    assert not limiter._storage.down


async def test_encrypted(redis_server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """With TLS, the server has to be the one of the URL, by a CA that is trusted."""
    async with encrypted(redis_server) as (url, ca):
        for options, down in (
            (f"?ssl_ca_certs={ca}", False),
            ("", True),
        ):
            for scheme in ("rediss", "valkeys"):
                limiter = SharedRateLimiter(
                    200, storage(url.replace("rediss", scheme) + options), "db"
                )
                await asyncio.to_thread(pass_through, limiter, inline=True)
                assert limiter._storage.down == down
    assert caplog.text.count("CERTIFICATE_VERIFY_FAILED") == 2


@pytest.mark.parametrize(
    "url",
    [
        "redis:///0",
        "redis://h:port",
        f"redis://:{SECRET}@h/0",
        "redis://app:12#s3cr3t@h",
        "redis://app:12?s3cr3t@h",
        "rediss://app:12/s3cr3t@h",
        "redis:app:s3cr3t@h",
        "memory://s3cr3t",
        "postgres://app:s3cr3t@h",
        "unix://",
    ],
)
def test_bad_url(url: str) -> None:
    """A URL that cannot work is refused, without repeating any of it."""
    with pytest.raises(ConfigError, match="rds_iam_rate_storage=…: expected memory://, or") as no:
        IamOptions.take({"rds_iam_rate_storage": url}, {})
    assert no.value.__cause__ is None
    assert "s3cr3t" not in f"{no.value}{no.value.__context__!r}"


def test_bad_option_of_the_url() -> None:
    """Options in the URL that the client does not know are refused, and the password not shown."""
    for option in ("bogus=1", "socket_timeout=soon"):
        with pytest.raises(ConfigError, match=r"redis://h:1/0: the redis package does not take"):
            storage(f"redis://:s3cr3t@h:1/0?{option}")
