"""Keys that cannot be any are refused where they are taken from, and shown nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from malformed_support import CANARY, DEFECTS, PLACES, Keys, printed
from providers_support import Provider, Site
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam import CredentialsError, rds_iam_stats
from sqlalchemy_rds_iam.testing import RdsEmulator

Open = Callable[..., Database]

PARTS = {defect: number % 3 for number, defect in enumerate(DEFECTS)} | {
    # HTTP clients quote a header that has one of these.
    "ends in a line feed": 2,
    "has a line feed in it": 2,
    "has a NUL in it": 2,
}


@pytest.mark.parametrize("place", PLACES)
def test_refused_by_name(
    open_database: Open, site: Site, rds: RdsEmulator, log: Any, place: str
) -> None:
    """Each defect is told with the variable, setting or provider, before any request is sent."""
    put, named, loses = PLACES[place]
    events: list[Any] = []
    for defect, part in PARTS.items():
        if defect in loses:
            continue
        provider = put(site, Keys.malformed(part, defect))
        asked = len(rds.aws.sts.records)
        database = _open(open_database, provider, rds_iam_on_event=events.append)
        error: Any = database.raises(CredentialsError)
        assert f"{named(part)}" in str(error)
        assert defect in str(error)
        assert not error.retryable
        assert len(rds.aws.sts.records) == asked
        outage = rds_iam_stats(database.engine).outage
        assert outage is not None
        assert outage.error == str(error)
        assert not [each for each in printed(error) if CANARY in each]
    assert any(named(PARTS[defect]) in str(event.error) for event in events for defect in PARTS)
    assert CANARY not in repr(events)
    assert not [line for line in log.lines if CANARY in line]


@pytest.mark.parametrize("place", ["environment", "credentials file", "source_profile"])
def test_put_right(open_database: Open, site: Site, rds: RdsEmulator, place: str) -> None:
    """Keys that are corrected are taken by the next connect, without a restart."""
    provider = PLACES[place].put(site, Keys.malformed(0, "begins with a quotation mark"))
    database = _open(open_database, provider)
    database.raises(CredentialsError)
    site.aws.sts.trust(site.principal, rds.key.principal)
    key = rds.identities.issue(rds.key.principal, 3600)
    assert key.session_token is not None
    PLACES[place].put(site, Keys(key.access_key, key.secret_key, key.session_token))
    assert database.scalar("select 1") == 1


def _open(open_database: Open, provider: Provider, **keywords: Any) -> Database:
    options = provider.options | {"rds_iam_failure_ttl": "0"}
    return open_database(options=options, poolclass=NullPool, **provider.keywords, **keywords)
