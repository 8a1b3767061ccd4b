"""Every provider of AWS credentials: it connects, its expiry is known, obeyed and survived."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import botocore.utils
import providers_catalogue as catalogue
import pytest
from faults_support import Clock, Way
from providers_support import LIFE, START_URL, Provider, Site, lines_of, login, utc
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam import CredentialsError
from sqlalchemy_rds_iam._passwords.expiry import SHORTEST_PAUSE
from sqlalchemy_rds_iam.testing import RdsEmulator

Open = Callable[..., Database]
SetUp = Callable[[Site], Provider]

AT_ONCE = {"rds_iam_failure_ttl": "0"}

STATIC = [
    catalogue.static_environment,
    catalogue.shared_credentials,
    catalogue.shared_config,
    catalogue.static_process,
]

EXPIRING = [
    catalogue.environment,
    catalogue.process,
    catalogue.source_profile,
    catalogue.chained_roles,
    catalogue.source_environment,
    catalogue.source_container,
    catalogue.source_instance,
    catalogue.web_identity,
    catalogue.pod_identity,
    catalogue.task_role,
    catalogue.instance_role,
    catalogue.sso_session,
    catalogue.sso_legacy,
    catalogue.session_object,
]


def _open(open_database: Open, provider: Provider, **options: str) -> Database:
    options = provider.options | AT_ONCE | options
    return open_database(options=options, poolclass=NullPool, **provider.keywords)


@pytest.mark.parametrize("set_up", EXPIRING)
def test_expiring(
    open_database: Open, site: Site, clock: Clock, rds: RdsEmulator, way: Way, set_up: SetUp
) -> None:
    """The provider's identity connects; its expiry is known, obeyed, and survived twice."""
    provider = set_up(site)
    provider.put()
    database = _open(open_database, provider)
    key = login(database, rds, provider)
    on_loop = bool(database.inside.source._by_loop)
    assert on_loop is (way.credentials == "aiobotocore")
    for _ in range(2):
        known = database.inside.credentials.expires_at
        assert -0.001 <= key.expires_at - known < 1  # most say it in whole seconds
        clock.offset += key.expires_at - clock() - 600
        assert login(database, rds, provider) is key
        entry = database.inside.entry
        assert entry.token.expires_at == known
        clock.offset += 601
        provider.put()
        key, old = login(database, rds, provider), key
        assert key is not old


@pytest.mark.parametrize("set_up", STATIC)
def test_static(
    open_database: Open, site: Site, clock: Clock, rds: RdsEmulator, set_up: SetUp
) -> None:
    """Keys without an expiry serve until they are refused, and are then read again."""
    provider: Any = set_up(site)
    old = provider.put()
    database = _open(open_database, provider)
    assert login(database, rds, provider) is old
    assert database.inside.credentials.expires_at is None
    clock.offset += LIFE
    assert login(database, rds, provider) is old
    new = provider.put()
    assert login(database, rds, provider) is old
    old.revoked = True
    clock.offset += SHORTEST_PAUSE
    rds.clear()
    assert database.scalar("select 1") == 1
    assert [decision.granted for decision in rds.decisions] == [False, True]
    assert login(database, rds, provider) is new


@pytest.mark.parametrize("set_up", [catalogue.environment, catalogue.process])
def test_put_too_late(
    open_database: Open, site: Site, clock: Clock, rds: RdsEmulator, set_up: SetUp
) -> None:
    """Expired keys that have not been replaced are an error that says so, until they are."""
    provider = set_up(site)
    provider.put()
    database = _open(open_database, provider)
    login(database, rds, provider)
    clock.offset += LIFE + 1
    error = str(database.raises(CredentialsError))
    assert repr(provider.method) in error
    assert "still expired" in error
    provider.put()
    login(database, rds, provider)


def test_keys_without_expiry_in_place_of_those_with(
    open_database: Open, site: Site, clock: Clock, rds: RdsEmulator
) -> None:
    """When the environment stops naming an expiry, that is noticed with the next fetch."""
    provider = catalogue.environment(site)
    provider.put()
    database = _open(open_database, provider)
    login(database, rds, provider)
    clock.offset += LIFE + 1
    site.delenv("AWS_CREDENTIAL_EXPIRATION")
    site.delenv("AWS_SESSION_TOKEN")
    catalogue.static_environment(site).put()
    login(database, rds, provider)


def test_pod_identity_token_rotated_too_late(
    open_database: Open, site: Site, clock: Clock, rds: RdsEmulator
) -> None:
    """A token that the agent refuses is read anew for the next connect, by any botocore."""
    provider = catalogue.pod_identity(site)
    provider.put()
    site.setattr(botocore.utils.ContainerMetadataFetcher, "SLEEP_TIME", 0)
    database = _open(open_database, provider)
    login(database, rds, provider)
    clock.offset += LIFE + 1
    site.setattr(rds.aws.container, "token", "no task has this one")
    error = str(database.raises(CredentialsError))
    assert "container-role" in error
    assert "401" in error
    provider.put()
    login(database, rds, provider)


def test_a_code_that_is_not_typed(open_database: Open, site: Site) -> None:
    """A profile that needs a code from the terminal is refused, instead of asking for it."""
    provider = catalogue.source_profile(site)
    file = site.directory / "config"
    serial = "mfa_serial = arn:aws:iam::123456789012:mfa/me"
    file.write_text(file.read_text().replace("source_profile", f"{serial}\nsource_profile"))
    error: Any = _open(open_database, provider).raises(CredentialsError)
    assert "mfa_serial" in str(error)
    assert not error.retryable


@pytest.mark.parametrize("mistake", ["role", "base", "chain"])
def test_shared_files_put_right(
    open_database: Open, site: Site, rds: RdsEmulator, mistake: str
) -> None:
    """What was wrong in the shared files can be put right there, without a restart."""
    provider = catalogue.source_profile(site)
    file = site.directory / "config"
    right = file.read_text()
    expired = rds.identities.issue(rds.key.principal, -1.0)
    wrong = {
        "role": right.replace(provider.principal.arn, provider.principal.arn + "-typo"),
        "base": right.replace("\n".join(lines_of(rds.key)), "\n".join(lines_of(expired))),
        "chain": right.replace("source_profile = base", "source_profile = nowhere"),
    }[mistake]
    assert wrong != right
    file.write_text(wrong)
    database = _open(open_database, provider)
    database.raises(CredentialsError)
    file.write_text(right)
    login(database, rds, provider)


@pytest.mark.parametrize(
    ("set_up", "session"),
    [(catalogue.sso_session, "corporate"), (catalogue.sso_legacy, START_URL)],
)
@pytest.mark.parametrize("how", ["never signed in", "expired", "signed out"])
def test_signed_out(
    open_database: Open,
    site: Site,
    clock: Clock,
    rds: RdsEmulator,
    set_up: SetUp,
    session: str,
    how: str,
) -> None:
    """Without a good access token the error names the command to run; running it is enough."""
    provider = set_up(site)

    def sign_out() -> None:
        if how == "expired":
            site.sign_in(session, "old", expiresAt=utc(-60))
        elif how == "never signed in":
            site.sign_in(session, "old").unlink()
        site.setattr(rds.aws.sso, "access_tokens", set())

    sign_out()
    database = _open(open_database, provider)
    for token in ("new", "newer"):
        error: Any = database.raises(CredentialsError)
        assert "'sso'" in str(error)
        assert "aws sso login" in str(error)
        assert not error.retryable
        site.sign_in(session, token)
        login(database, rds, provider)
        clock.offset += LIFE + 1
        sign_out()


def test_access_token_renewed(
    open_database: Open, site: Site, clock: Clock, rds: RdsEmulator
) -> None:
    """In an sso-session an access token near its end is exchanged, again and again, and kept."""
    provider = catalogue.sso_session(site)
    registration = {
        "clientId": "cli",
        "clientSecret": "of the client",
        "registrationExpiresAt": utc(90 * 86400),
    }
    file = site.sign_in("corporate", "old", expiresAt=utc(60), refreshToken="first", **registration)
    site.setattr(rds.aws.sso, "refresh_tokens", {"first"})
    site.setattr(rds.aws.sso, "token_lifetime", 60)
    database = _open(open_database, provider)
    seen = {"old"}
    for _ in range(3):
        login(database, rds, provider)
        seen.add(json.loads(file.read_text())["accessToken"])
        clock.offset += LIFE + 1
    assert len(seen) == 4
    site.setattr(rds.aws.sso, "refresh_tokens", set())
    site.sign_in("corporate", "old", expiresAt=utc(-60), refreshToken="x", **registration)
    assert "aws sso login" in str(database.raises(CredentialsError))


@pytest.mark.parametrize("fault", ["hang", "reset", "garbage"])
def test_portal_out_of_order(
    open_database: Open, site: Site, impatient: None, rds: RdsEmulator, fault: Any
) -> None:
    """A portal that fails is an error that names the provider, in good time, and nothing secret."""
    provider = catalogue.sso_session(site)
    rds.aws.sso.fail(fault)
    try:
        error: Any = _open(open_database, provider).raises(CredentialsError)
    finally:
        rds.aws.sso.recover()
    assert "'sso'" in str(error)
    assert error.retryable
    assert "signed-in" not in str(error)


def test_no_access(open_database: Open, site: Site, rds: RdsEmulator) -> None:
    """A permission set that is not assigned is told as such, and not as something to wait for."""
    provider = catalogue.sso_session(site)
    file = site.directory / "config"
    file.write_text(file.read_text().replace("= provided", "= unassigned"))
    error: Any = _open(open_database, provider).raises(CredentialsError)
    assert "No access" in str(error)
    assert not error.retryable
