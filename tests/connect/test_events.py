"""Events: each thing that happens is told once, in the log and to the hook, with who and where."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from events_support import Seen
from faults_support import LIFE, Clock, Provider, settle
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.pool import NullPool
from worlds import Database

from sqlalchemy_rds_iam import CredentialsError, Event
from sqlalchemy_rds_iam._aws.sigv4 import Credentials
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._connecting.reporting import EngineCounters
from sqlalchemy_rds_iam._endpoints.hostname import Endpoint
from sqlalchemy_rds_iam._passwords.expiry import Cached
from sqlalchemy_rds_iam.events import KINDS, EventFactory, Identity
from sqlalchemy_rds_iam.testing import RdsEmulator

Connect = Callable[..., Database]
Logged = Callable[[], list[logging.LogRecord]]
PATIENT = {"rds_iam_throttle_retry": "on"}


def test_names_of_the_conventions() -> None:
    """OpenTelemetry's names where it has one, ours with our prefix, and the same values."""
    endpoint = Endpoint("db.abc123.us-east-1.rds.amazonaws.com", 5432, "app", "us-east-1")
    identity = Identity(secret="arn:aws:secretsmanager:us-east-1:1:secret:a", version="v")
    refused = Event(
        kind="refused", plugin="rds_iam", at=1, endpoint=endpoint, identity=identity, error="X"
    )
    assert refused.as_attributes() == {
        "server.address": endpoint.host,
        "server.port": 5432,
        "user.name": "app",
        "cloud.region": "us-east-1",
        "aws.secretsmanager.secret.arn": identity.secret,
        "error.type": "X",
        "sqlalchemy_rds_iam.plugin": "rds_iam",
        "sqlalchemy_rds_iam.version": "v",
    }
    outage = Event(kind="outage_begun", plugin="rds_iam", at=1, error="no answer", failures=1)
    assert outage.as_attributes()["exception.message"] == "no answer"
    for event in (refused, outage):
        values = [v for k, v in event.as_dict().items() if k not in {"kind", "at"}]
        assert sorted(map(str, event.as_attributes().values())) == sorted(map(str, values))


def test_a_first_connect(rds: RdsEmulator, connect: Connect, seen: Seen, logged: Logged) -> None:
    """Credentials are fetched and a token is signed; hook and log tell the same of it, once."""
    database = connect(rds_iam_on_event=seen)
    database.scalar("select 1")
    assert seen.kinds == ["renewed", "minted"]
    assert [record.rds_iam for record in logged()] == [event.as_dict() for event in seen]
    renewed, minted = seen
    where = rds.endpoint
    assert renewed.endpoint is None
    assert renewed.what == "AWS credentials"
    assert minted.endpoint == (database.signed_host, where.port, "app", where.region)
    for event in seen:
        key = rds.key.access_key
        assert event.plugin == "rds_iam"
        assert event.identity == Identity(f"{key[:4]}…{key[-4:]}", "env")
        assert 0 <= event.credentials_age < 5
        assert event.credentials_left is None
    assert 0 <= minted.token_age < 5
    assert 895 < minted.token_left <= 900


def test_warm_connects_are_no_events(connect: Connect, seen: Seen, logged: Logged) -> None:
    """A connect that finds its token and is let in is silent."""
    database = connect(rds_iam_on_event=seen, poolclass=NullPool)
    database.scalar("select 1")
    for _ in range(3):
        database.scalar("select 1")
    assert len(seen) == len(logged()) == 2


def test_a_refused_token(rds: RdsEmulator, connect: Connect, seen: Seen, logged: Logged) -> None:
    """Refused, credentials read again, tried again: an event for each, in this order."""
    database = connect(rds_iam_on_event=seen, poolclass=NullPool)
    database.inside.reload_at_once()
    rds.gateway.refuse_next = 1
    database.scalar("select 1")
    assert seen.kinds[2:] == ["refused", "renewed", "minted", "retried"]
    refused, retried = seen.of("refused"), seen.of("retried")
    assert refused.endpoint == retried.endpoint == database.inside.plan.target.endpoint
    assert refused.identity == retried.identity == seen[0].identity
    assert refused.token_age is not None
    assert refused.error
    assert retried.attempt == 2
    warnings = [record for record in logged() if record.levelno >= logging.WARNING]
    assert [record.rds_iam["kind"] for record in warnings] == ["refused"]
    assert warnings[0].getMessage().endswith("refused; reloading AWS credentials")


def test_refused_for_good(rds: RdsEmulator, connect: Connect, seen: Seen) -> None:
    """Every refused login is an event; the last one is followed by none."""
    database = connect(rds_iam_on_event=seen, poolclass=NullPool)
    database.inside.reload_at_once()
    rds.gateway.refuse_next = 9
    database.raises(Exception)
    assert seen.kinds[2:] == ["refused", "renewed", "minted", "retried", "refused"]
    assert seen.kinds.count("refused") == len(rds.decisions)


def test_throttled(
    rds: RdsEmulator, connect: Connect, seen: Seen, logged: Logged, hasty: None, own_turns: None
) -> None:
    """A refusal of who was let in a moment ago is told as one, and as what it is taken for."""
    database = connect(rds_iam_on_event=seen, options=PATIENT, poolclass=NullPool)
    database.scalar("select 1")
    # Credentials that were fetched a second ago may be reloaded, however slow the machine is.
    now = database.inside.cache.clock()
    database.inside.set_clock(lambda: now)
    rds.gateway.refuse_next = 2
    database.scalar("select 1")
    assert seen.kinds[2:] == ["refused", "throttled", "retried"] * 2
    first, second = (event for event in seen if event.kind == "throttled")
    assert first.pause is not None
    assert 0 < first.rate < 200
    assert first.endpoint == seen[1].endpoint
    assert [event.attempt for event in seen if event.kind == "retried"] == [2, 3]
    # The cut is a warning, as ever, and what follows within the second is not.
    levels = [r.levelno for r in logged() if r.rds_iam["kind"] == "throttled"]
    assert levels == [logging.WARNING, logging.DEBUG]
    assert second.rate is not None


def test_an_outage(
    open_database: Connect,
    container: Provider,
    clock: Clock,
    impatient: None,
    monkeypatch: pytest.MonkeyPatch,
    seen: Seen,
    logged: Logged,
) -> None:
    """It begins and ends once, however many fetches fail; the end says how many, and since when."""
    database = open_database(poolclass=NullPool, rds_iam_on_event=seen)
    database.scalar("select 1")
    seen.clear()
    container.fail("500", monkeypatch)
    clock.offset += LIFE * 2 / 3 + 1
    for _ in range(3):
        database.scalar("select 1")
        settle(database)
        clock.offset += 3
    assert [kind for kind in seen.kinds if kind != "minted"] == ["outage_begun"]
    begun = seen.of("outage_begun")
    assert "container-role" in begun.error
    assert begun.failures == 1
    assert begun.outage_age == 0
    assert 0 < begun.credentials_left < LIFE / 3
    clock.offset += LIFE
    database.raises(CredentialsError)
    container.recover(monkeypatch)
    clock.offset += 30
    database.scalar("select 1")
    assert [kind for kind in seen.kinds if kind != "minted"][1:] == ["renewed", "outage_ended"]
    ended = seen.of("outage_ended")
    assert ended.failures == 4
    assert LIFE + 30 < ended.outage_age < LIFE + 60
    assert ended.error
    records = {r.rds_iam["kind"]: r for r in logged() if r.levelno >= logging.INFO}
    message = f"AWS credentials could not be fetched: {begun.error}"
    assert records["outage_begun"].getMessage() == message
    message = "AWS credentials renewed after 4 failed fetches"
    assert records["outage_ended"].getMessage() == message


def test_engines_of_one_identity(connect: Connect, logged: Logged) -> None:
    """What they share is told to each hook once and logged once; what one does, to its own."""
    shared, own = Seen(), Seen()
    databases = [
        connect(rds_iam_on_event=shared),
        connect(rds_iam_on_event=shared),
        connect(rds_iam_on_event=own),
    ]
    for database in databases:
        database.scalar("select 1")
    assert shared.kinds == ["renewed", "minted"]
    assert own.kinds == ["renewed"]
    assert len(logged()) == 2
    # A hook that all share does not make them one: each has its counts.
    assert [each.inside.counts["renewed"] for each in databases] == [1, 1, 1]
    assert [each.inside.counts["minted"] for each in databases] == [1, 0, 0]


def test_an_engine_that_is_gone(connect: Connect, databases: Any) -> None:
    """Its hook is told no more, and is not kept."""
    kept = connect()
    kept.scalar("select 1")
    publisher = kept.inside.cache.observer
    reporter = EngineCounters(IamOptions())
    publisher.subscribe(reporter)
    assert len(publisher._reporters) == 2
    del reporter
    assert len(publisher._reporters) == 1


TEXTS = st.none() | st.text(max_size=9)
SECONDS = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.builds(
        Event,
        kind=st.sampled_from(KINDS),
        plugin=st.just("rds_iam"),
        at=st.floats(0, 1e10),
        endpoint=st.none() | st.builds(Endpoint, st.text(), st.integers(), st.text(), st.text()),
        identity=st.builds(Identity, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS),
        token_left=SECONDS,
        attempt=st.none() | st.integers(2),
        error=TEXTS,
    )
)
def test_fields_are_plain(event: Event) -> None:
    """The fields of a record are flat, in plain values, and hold what is known and nothing else."""
    found = event.as_dict()
    assert json.loads(json.dumps(found)) == found
    assert {type(value) for value in found.values()} <= {str, int, float}
    assert "" not in found.values()
    assert found["kind"] == event.kind
    for name in ("error", "attempt"):
        assert found.get(name) == (getattr(event, name) or None)
    if event.endpoint is not None and event.endpoint.port:
        assert found["port"] == event.endpoint.port


@pytest.mark.parametrize(
    ("key", "shown"),
    [("AKIAIOSFODNN7EXAMPLE", "AKIA…MPLE"), ("AKIASHORT", "…HORT"), ("", "…")],
)
def test_access_keys_are_masked(key: str, shown: str) -> None:
    """Of an access key id both ends are shown, of a short one the last four characters."""
    cached = Cached(Credentials(key, "canary"), 0.0)
    assert EventFactory("rds_iam").event("renewed", 1.0, cached=cached).identity.access_key == shown


def test_a_role(rds: RdsEmulator, connect: Connect, seen: Seen) -> None:
    """A role of the options is named, and its session's key and life."""
    role = rds.identities.role("seen")
    options = {"rds_iam_role_arn": role.arn}
    connect(options=options, rds_iam_on_event=seen).scalar("select 1")
    for event in seen:
        assert event.identity.role_arn == role.arn
        assert event.identity.access_key.startswith("ASIA")
        assert 0 < event.credentials_left <= 3600


def test_counts_are_exact() -> None:
    """No count is lost where threads count at the same time."""
    reporter = EngineCounters(IamOptions())
    event = Event(kind="refused", plugin="rds_iam", at=0.0)

    def count(_: int) -> None:
        for _ in range(5000):
            reporter.count(event)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(count, range(8)))
    finally:
        sys.setswitchinterval(interval)
    assert reporter.counts["refused"] == 40_000
