"""botocore's sessions, made so that other code is not affected: imports, models, and the collector.

botocore is imported here, on the first fetch, and takes a fifth of a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

from sqlalchemy_rds_iam._aws import collector
from sqlalchemy_rds_iam._aws.ambient import profile_region
from sqlalchemy_rds_iam._aws.environment import forget_empty_credentials, forget_empty_settings
from sqlalchemy_rds_iam._aws.key_check import watch_signers
from sqlalchemy_rds_iam._masking import first_line
from sqlalchemy_rds_iam.errors import ConfigError, CredentialsError

# Three tries of at most 8 s stay within the 30 s that a connect waits by default.
NETWORK = {
    "connect_timeout": 3,
    "read_timeout": 5,
    "retries": {"mode": "standard", "total_max_attempts": 3},
}


# For clients that are made to have their models read, and never make a call.
_DUMMY_KEYS = {"region_name": "us-east-1", "aws_access_key_id": "-", "aws_secret_access_key": "-"}


def botocore_session(profile: str | None, *, asks_sts: bool = False) -> Any:
    """A botocore session with our deadlines, and with the region of `ambient`.

    Args:
        profile: profile of the shared config, or None for botocore's whole chain.
        asks_sts: whether STS will be asked even if the profile does not say so.
    """
    with _Making.lock:
        with _once("botocore"):
            import botocore.config
            import botocore.session

            session = forget_empty_settings(botocore.session.Session(profile=profile))
            session.set_default_client_config(botocore.config.Config(**NETWORK))
            watch_signers(session)
        asks_sts = _asks_sts(_furnished(session, profile)) or asks_sts
        if asks_sts and "models" not in _read:
            with _once("models"):
                session.create_client("sts", **_DUMMY_KEYS)
    return session


def aiobotocore_session(profile: str | None, *, asks_sts: bool = False) -> Any:
    """The same of aiobotocore. Takes long, and is to be called in a thread.

    Raises:
        CredentialsError: aiobotocore cannot be imported.
    """
    with _Making.lock:
        with _once("aiobotocore"):
            aiobotocore = _aiobotocore()
            session = forget_empty_settings(aiobotocore.session.AioSession(profile=profile))
            session.set_default_client_config(aiobotocore.config.AioConfig(**NETWORK))
            watch_signers(session, is_async=True)

        async def read_models() -> None:
            async with session.create_client("sts", **_DUMMY_KEYS):
                pass

        asks_sts = _asks_sts(_furnished(session, profile)) or asks_sts
        if asks_sts and "models" not in _read:
            with _once("models"):
                asyncio.run(read_models())
    return session


def botocore_client(service: str, profile: str | None, credentials: Any, **place: Any) -> Any:
    """A client of botocore's for a service.

    Args:
        service: botocore's name for it.
        profile: profile of the shared config, which may have settings for clients.
        credentials: stand for the session's whole chain of providers.
        place: region and endpoint.
    """
    with _Making.lock, _once(service):
        import botocore.config
        import botocore.session

        session = _with(credentials, botocore.session.Session(profile=profile))
        config = botocore.config.Config(**NETWORK)
        return session.create_client(service, config=config, **place)


def aiobotocore_client(service: str, profile: str | None, credentials: Any, **place: Any) -> Any:
    """The same of aiobotocore, to be entered on an event loop; and entered again after leaving.

    Takes long, and is to be called in a thread.
    """
    with _Making.lock, _once(f"{service} in aiobotocore"):
        aiobotocore = _aiobotocore()
        session = _with(credentials, aiobotocore.session.AioSession(profile=profile))
        config = aiobotocore.config.AioConfig(**NETWORK)

        async def make() -> Any:
            async with session.create_client(service, config=config, **place) as client:
                return client

        return asyncio.run(make())


def _aiobotocore() -> Any:
    """aiobotocore, with what is needed of it.

    It takes few versions of botocore each, and breaks in many ways with others.

    Raises:
        CredentialsError: it cannot be imported.
    """
    # What looks up the file of certifi, as aiobotocore does for each session over HTTPS.
    importlib.import_module("importlib.readers")
    try:
        importlib.import_module("aiobotocore.config")
        importlib.import_module("aiobotocore.session")
        return sys.modules["aiobotocore"]
    except Exception as error:
        raise CredentialsError(
            f"aiobotocore cannot be imported ({type(error).__name__}: {first_line(error)}): "
            "install the version that goes with the botocore that is installed, or let a thread "
            "fetch, as by default (leave out …_credentials=aiobotocore)",
            retryable=False,
        ) from error


def _with(credentials: Any, session: Any) -> Any:
    forget_empty_settings(session)
    session.register_component("credential_provider", credentials)
    if not _loaders:
        _loaders.append(session.get_component("data_loader"))
    session.register_component("data_loader", _loaders[0])
    return session


def imported(module: str) -> Any:
    """A module that is seldom needed, imported while no fork can come between."""
    with _Making.lock:
        return importlib.import_module(module)


def hang_up(session: Any) -> None:
    """Close the connections to metadata services that a session keeps alive.

    They would else stay open until the collector finds the session, which may take hours.
    """
    for provider in session.get_component("credential_provider").providers:
        for name in ("_fetcher", "_role_fetcher"):
            http = getattr(getattr(provider, name, None), "_session", None)
            if close := getattr(http, "close", None):
                close()


def _asks_sts(session: Any) -> bool:
    """Whether credentials will come through a client, whose models take long to read.

    Reading them ahead, into the session's cache, keeps that work off the event loop, and apart
    from waiting for the network.
    """
    profile = session.get_scoped_config()
    return bool(os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE")) or not profile.keys().isdisjoint(
        {"role_arn", "web_identity_token_file", "sso_session", "sso_start_url"}
    )


# What Python itself imports at the first look-up of a host, the first date and the first work that
# a loop hands to a thread, which is in the middle of a fetch: too late for the lock below.
for _module in ("encodings.idna", "_strptime", "concurrent.futures.thread"):
    importlib.import_module(_module)


# A fork waits for it: a module that another thread has half imported stays so in the child, and
# locked. Making a session sends nothing over the network, so it does not take long.
class _Making:
    lock = threading.RLock()

    @classmethod
    def before_fork(cls) -> None:
        cls.lock.acquire(timeout=_LONGEST_MAKING)

    @classmethod
    def after_fork(cls) -> None:
        with contextlib.suppress(RuntimeError):  # it was not to be had in time
            cls.lock.release()

    @classmethod
    def in_child(cls) -> None:
        cls.lock = threading.RLock()
        # The thread that would have done so does not exist here.
        collector.let_go()


_LONGEST_MAKING = 10.0

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_Making.before_fork,
        after_in_parent=_Making.after_fork,
        after_in_child=_Making.in_child,
    )


# What this process has read of botocore's: that is done once.
_read: set[str] = set()


@contextlib.contextmanager
def _once(what: str) -> Iterator[None]:
    """Read something of botocore's, the first time without the collector.

    Each time would put full collections off for as long as sessions are made.
    """
    with contextlib.nullcontext() if what in _read else collector.uncollected():
        yield
    _read.add(what)


# One for the process: the models it has read are megabytes, and the same for every session.
_loaders: list[Any] = []


# What has STS asked, whose address and signature have a region in them.
_WITH_REGION = {"role_arn", "web_identity_token_file", "AWS_WEB_IDENTITY_TOKEN_FILE"}


def _furnished(session: Any, profile: str | None) -> Any:
    settings = session.get_scoped_config()
    if "mfa_serial" in settings:
        raise CredentialsError(
            f"the profile {session.profile or 'default'!r} has an mfa_serial, and botocore "
            "would ask for its code at the terminal, where no answer comes: use IAM Identity "
            "Center (aws sso login) or a credential_process",
            retryable=False,
        )
    try:
        # As our own, which heeds AWS_REGION, and is free of white space.
        if region := profile_region(profile):
            session.set_config_variable("region", region)
    except ConfigError as error:
        if not _WITH_REGION.isdisjoint({*settings, *os.environ}):
            raise CredentialsError(f"no region for STS: {error}", retryable=False) from error
    # Before 1.40 botocore asked the global STS, which is one region's, unless told otherwise.
    setting = "sts_regional_endpoints"
    if not (os.environ.get(f"AWS_{setting.upper()}") or settings.get(setting)):
        session.set_config_variable(setting, "regional")
    if not _loaders:
        _loaders.append(session.get_component("data_loader"))
    session.register_component("data_loader", _loaders[0])
    # Makes its HTTP clients now, in the lock: in a child, OpenSSL's locks would stay locked, too.
    forget_empty_credentials(session.get_component("credential_provider").providers)
    return session
