"""A rotation loses no connect: not between its steps, in whichever order, nor under load."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from families import Words
from patience import SOON
from rds_secret_support import USER, LogIn
from worlds import on

from sqlalchemy_rds_iam._passwords import cache
from sqlalchemy_rds_iam._passwords.expiry import CHEAP_PAUSE
from sqlalchemy_rds_iam._secretsmanager import rotation
from sqlalchemy_rds_iam.testing import CURRENT_FIRST, STEPS, AwsError, RdsEmulator, Secret
from sqlalchemy_rds_iam.testing.aws import secret_operations as operations

# A thread and a loop of each family: which driver it is, is a matter of the refusals that it knows,
# and those are with every one of them in test_both_families.py.
pytestmark = on("psycopg", "asyncpg", "pymysql", "asyncmy")

STRATEGIES = ["single-user", "alternating-users"]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that takes seconds takes hundredths, in the same proportion."""
    monkeypatch.setattr(rotation, "PAUSE", 0.02)
    monkeypatch.setattr(cache, "SHORTEST_PAUSE", 0.02)


@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
@pytest.mark.parametrize("steps", [STEPS, CURRENT_FIRST], ids=["database-first", "secret-first"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_step(rds: RdsEmulator, log_in: LogIn, strategy: Any, steps: Any, cold: bool) -> None:
    """Between any two steps, new connections log in: with a password in hand, and without."""
    secret = rds.secrets.create("prod/app", USER, strategy=strategy)
    database = log_in(secret)
    for turn in range(2):
        for step in secret.rotation(steps):
            if cold:
                # Options of its own, so that it shares nothing with the one before.
                database = log_in(secret, {"rds_secret_ttl": f"{100 + turn}.{steps.index(step)}"})
            assert database.scalar("select 1") == 1


def test_what_worked_does_not_stick(rds: RdsEmulator, log_in: LogIn, secret: Secret) -> None:
    """AWSPENDING helps out; once AWSCURRENT is right, that is what logs in."""
    database = log_in(secret)
    database.scalar("select 1")
    for step in secret.rotation():
        if step == "setSecret":
            database.scalar("select 1")
            before = len(rds.decisions)
            database.scalar("select 1")
            # Refused, and let in.
            assert [d.granted for d in rds.decisions[before:]] == [False, True]
    time.sleep(0.03)
    database.scalar("select 1")
    before = len(rds.decisions)
    database.scalar("select 1")
    assert [d.granted for d in rds.decisions[before:]] == [True]
    held = database.inside.credentials
    assert held.version_id == secret.stages["AWSCURRENT"]


def test_user_and_password_belong_together(
    rds: RdsEmulator, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret that is fetched anew in the middle of a connect gives it both, or none."""
    secret = rds.secrets.create("prod/app", USER, strategy="alternating-users")
    database = log_in(secret)
    inside = database.inside
    provider = inside.provider
    fill = provider._filled

    def fill_and_rotate(cparams: Any, token: Any) -> Any:
        filled = fill(cparams, token)
        secret.rotate()
        source, entry = inside.source, provider._versions[0].entry
        entry.token = source.token(source.fetch(reload=True), entry.endpoint, token.signed_at)
        entry.token.fresh_until = float("inf")
        return filled

    monkeypatch.setattr(provider, "_filled", fill_and_rotate)
    assert database.scalar(database.words.user) == USER
    assert database.scalar(database.words.user) == f"{USER}_clone"
    assert [decision.granted for decision in rds.decisions] == [True, True]


def test_open_connections_are_left_alone(log_in: LogIn, secret: Secret) -> None:
    """A connection of the pool outlives the rotation of its password."""
    database = log_in(secret, poolclass=None)
    pid = database.scalar(database.words.session)
    secret.rotate()
    secret.rotate()
    assert database.scalar(database.words.session) == pid


def test_a_wrong_password(
    rds: RdsEmulator, log_in: LogIn, secret: Secret, calls: Any, words: Words
) -> None:
    """A wrong password of a secret that was never rotated fails at once, with a note."""
    rds.execute(words.new_password(USER, "another"))
    database = log_in(secret)
    error = database.raises(Exception)
    [note] = error.__notes__
    for part in (
        "rds_secret: the server refused the password of the secret 'prod/app'",
        secret.arn,
        secret.stages["AWSCURRENT"],
        "(AWSCURRENT)",
        f"user '{USER}', fetched ",
        "AWSPENDING: the secret 'prod/app' in us-east-1 has no version labelled AWSPENDING",
        "AWSPREVIOUS: ",
        "likely causes",
    ):
        assert part in note, note
    assert secret.fields()["password"] not in note
    assert len(rds.decisions) == 1
    # Once more for AWSCURRENT, if the connect took so long that it may have changed.
    assert calls() <= 4


def test_all_versions_wrong(
    rds: RdsEmulator, log_in: LogIn, secret: Secret, calls: Any, words: Words
) -> None:
    """After a few rounds the refusal is believed; what it takes is bounded, and says all ids."""
    secret.rotate()
    rds.execute(words.new_password(USER, "another"))
    database = log_in(secret)
    error = database.raises(Exception)
    for stage in ("AWSCURRENT", "AWSPREVIOUS"):
        assert secret.stages[stage] in error.__notes__[0]
    assert len(rds.decisions) == 2 * rotation.ROUNDS
    assert calls() <= 1 + 3 * rotation.ROUNDS


def test_the_deadline_holds(
    rds: RdsEmulator, log_in: LogIn, secret: Secret, monkeypatch: Any, words: Words
) -> None:
    """With little time left there are no more rounds, and no pause beyond it."""
    monkeypatch.setattr(rotation, "PAUSE", 60.0)
    secret.rotate()
    rds.execute(words.new_password(USER, "another"))
    database = log_in(secret, {"rds_secret_timeout": "0.6"})
    began = time.monotonic()
    database.raises(Exception)
    assert time.monotonic() - began < SOON


def test_a_storm_of_refusals_is_no_storm_of_calls(
    rds: RdsEmulator,
    log_in: LogIn,
    secret: Secret,
    calls: Any,
    monkeypatch: pytest.MonkeyPatch,
    words: Words,
) -> None:
    """Many connects that are refused at once, again and again, ask once for each version."""
    monkeypatch.setattr(cache, "SHORTEST_PAUSE", 600.0)
    monkeypatch.setattr(cache, "LONGEST_PAUSE", 600.0)
    secret.rotate()
    rds.execute(words.new_password(USER, "another"))
    database = log_in(secret)
    for _ in range(2):
        assert all(isinstance(found, Exception) for found in database.storm(5))
    assert calls() == 3


def test_right_again_after_refusals(
    rds: RdsEmulator, log_in: LogIn, secret: Secret, words: Words
) -> None:
    """Once the password is put right, connects go on, and nothing of the trouble lingers."""
    database = log_in(secret)
    rds.execute(words.new_password(USER, "another"))
    database.raises(Exception)
    secret.set_password()
    assert database.scalar("select 1") == 1
    for each in database.inside.caches:
        assert each._reloads_left == rotation.ROUNDS


def test_right_again_after_long_refusals(
    rds: RdsEmulator, log_in: LogIn, secret: Secret, calls: Any, words: Words
) -> None:
    """However long the secret was wrong: seconds after both sides are right, connects go on."""
    database = log_in(secret)
    database.scalar("select 1")
    rds.execute(words.new_password(USER, "another"))
    since = 0.0
    for each in database.inside.caches:
        each.clock = lambda: time.time() + since
    before = calls()
    for _ in range(60):
        since += 1
        database.raises(Exception)
    # Of three versions, not each second, but as soon as pauses have grown each `CHEAP_PAUSE`.
    assert calls() - before <= 3 * 25
    secret.put(secret.fields() | {"password": "another"}, "AWSCURRENT")
    since += CHEAP_PAUSE
    assert database.scalar("select 1") == 1


def test_forbidden_versions(
    rds: RdsEmulator, log_in: LogIn, secret: Secret, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may read AWSCURRENT only is refused in the window, and told why; and not after it."""
    database = log_in(secret)
    database.scalar("select 1")
    get = operations.OPERATIONS["GetSecretValue"]

    def only_current(stored: Any, given: Any, now: float) -> Any:
        if given.get("VersionStage") != "AWSCURRENT":
            raise AwsError(400, "AccessDeniedException", "no identity-based policy allows it")
        return get(stored, given, now)

    monkeypatch.setitem(operations.OPERATIONS, "GetSecretValue", only_current)
    for step in secret.rotation():
        if step == "setSecret":
            error = database.raises(Exception)
            assert "secretsmanager:GetSecretValue" in error.__notes__[0]
    assert database.scalar("select 1") == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_under_load(rds: RdsEmulator, log_in: LogIn, strategy: Any) -> None:
    """Rotations of both orders while connects never stop, and none of them fails."""
    _rotate_under_load(rds, log_in, strategy, 2)


@pytest.mark.soak
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_fifty_under_load(rds: RdsEmulator, log_in: LogIn, strategy: Any) -> None:
    """Fifty rotations while connects never stop, and none of them fails."""
    _rotate_under_load(rds, log_in, strategy, 50)


def _rotate_under_load(rds: RdsEmulator, log_in: LogIn, strategy: Any, times: int) -> None:
    secret = rds.secrets.create("prod/app", USER, strategy=strategy)
    database = log_in(secret, {"rds_secret_ttl": "0.5"})
    done = threading.Event()
    results: list[Any] = []

    def rotate() -> None:
        try:
            for number in range(times):
                for _ in secret.rotation(STEPS if number % 2 else CURRENT_FIRST):
                    # As long as it takes for some to connect, on however slow a machine.
                    enough = len(results) + 8
                    while len(results) < enough:
                        time.sleep(0.005)
        finally:
            done.set()

    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(rotate)
        while not done.is_set():
            results += database.storm(4)
        work.result()
    assert [found for found in results if found != 1] == []
    assert len(results) > times
