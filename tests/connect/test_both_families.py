"""The main job, in one body for every driver of both families, sync and async, on the emulator."""

from __future__ import annotations

from typing import Any

import pytest
from rds_secret_support import USER, LogIn
from sqlalchemy import event, exc, text
from sqlalchemy.pool import NullPool
from worlds import EVERY, on

from sqlalchemy_rds_iam.testing import RdsEmulator, Secret

pytestmark = on(*EVERY)


def test_query(connect: Any, rds: RdsEmulator) -> None:
    """A new connection is logged in by its token, as the user of the URL, over TLS."""
    database = connect()
    assert database.scalar(database.words.user) == "app"
    [decision] = rds.decisions
    assert (decision.granted, decision.db_user) == (True, "app")
    assert decision.access_key == rds.key.access_key


# aiomysql passes on the notes of MySQL.
@pytest.mark.filterwarnings("ignore:Table 't' already exists")
def test_transaction(connect: Any) -> None:
    """Work is committed or rolled back as a whole."""
    database = connect()
    database.run(
        lambda connection: connection.execute(text("create table if not exists t (x int)"))
    )
    database.run(lambda connection: connection.execute(text("truncate t")))

    def fail(connection: Any) -> None:
        connection.execute(text("insert into t values (1)"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.run(fail)
    assert database.scalar("select count(*) from t") == 0
    database.run(lambda connection: connection.execute(text("insert into t values (1)")))
    assert database.scalar("select count(*) from t") == 1


def test_pool_reuse(connect: Any, rds: RdsEmulator) -> None:
    """A pooled connection logs in once, however often it is checked out."""
    database = connect()
    backends = {database.scalar(database.words.session) for _ in range(5)}
    assert len(backends) == 1
    assert len(rds.decisions) == 1


def test_reconnect(connect: Any, rds: RdsEmulator) -> None:
    """After the server has killed the connection, pre-ping gets a new one with a token."""
    database = connect(pool_pre_ping=True)
    first = database.scalar(database.words.session)
    rds.kill_sessions()
    assert database.scalar(database.words.session) != first
    assert [decision.granted for decision in rds.decisions] == [True, True]


def test_refused_cached_token(connect: Any, rds: RdsEmulator) -> None:
    """A token that was good and is refused is replaced once, unseen by the caller."""
    database = connect(poolclass=NullPool)
    database.scalar("select 1")
    rds.gateway.refuse_next = 1
    assert database.scalar("select 1") == 1
    assert [decision.granted for decision in rds.decisions] == [True, False, True]


def test_refused_new_token(connect: Any, rds: RdsEmulator) -> None:
    """A new token that is refused is the answer: one login, the driver's own error, our note."""
    rds.create_user("stranger")
    database = connect("stranger")
    rds.execute(database.words.enter("stranger", "app"))
    rds.gateway.refuse_next = 1
    error = database.raises(Exception)
    assert database.words.refused in str(error)
    assert len(rds.decisions) == 1
    note = "\n".join(error.__notes__)
    assert database.signed_host in note
    assert "stranger" in note
    assert "…" + rds.key.access_key[-4:] in note
    assert database.scalar(database.words.user) == "stranger"


def test_later_listeners_fire(connect: Any, rds: RdsEmulator) -> None:
    """A user's own listeners still run after ours, in order, and may even connect themselves."""
    database = connect(poolclass=NullPool)
    user = database.inside.driver.user
    seen: list[str] = []

    @event.listens_for(database.engine, "do_connect")
    def change(dialect: Any, record: Any, cargs: Any, cparams: Any) -> None:
        seen.append(cparams[user])

    assert database.scalar("select 1") == 1
    assert seen == ["app"]

    @event.listens_for(database.engine, "do_connect")
    def take_over(dialect: Any, record: Any, cargs: Any, cparams: Any) -> Any:
        seen.append("took over")
        return dialect.connect(*cargs, **cparams)

    assert database.scalar("select 1") == 1
    assert seen == ["app", "app", "took over"]


def test_other_errors_pass(connect: Any, rds: RdsEmulator) -> None:
    """An error that is no refusal is tried once and gets no note."""
    database = connect(options={"rds_iam_ca": str(rds.ca_file)})
    rds.gateway.decline_tls = True
    error = database.raises((exc.DBAPIError, OSError))
    assert not any("rds_iam" in note for note in getattr(error, "__notes__", []))
    assert rds.decisions == []
    rds.gateway.decline_tls = False
    assert database.scalar("select 1") == 1


@pytest.mark.parametrize(
    "bad", ["other_host", "unrelated", "expired"], ids=["other-host", "unknown-ca", "expired"]
)
def test_bad_certificate(connect: Any, rds: RdsEmulator, bad: str) -> None:
    """A certificate that does not verify ends the connect before any token is sent."""
    rds.gateway.certificate = getattr(rds.certificates, bad)()
    database = connect()
    error = database.raises(Exception)
    assert "certificate" in _whole(error).lower()
    assert rds.decisions == []
    rds.gateway.reset()
    assert database.scalar("select 1") == 1


def test_server_declines_tls(connect: Any, rds: RdsEmulator) -> None:
    """A server that answers "no TLS" gets no token, in no mode, with no driver."""
    rds.gateway.decline_tls = True
    for mode in ("verify-full", "verify-ca", "require"):
        database = connect(options={"rds_iam_tls": mode})
        database.raises(Exception)
        assert rds.decisions == []
    rds.gateway.decline_tls = False
    assert database.scalar("select 1") == 1


def test_rotated_key(connect: Any, rds: RdsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that are replaced while the engine lives are noticed by a refused token, unseen."""
    old, new = (rds.identities.issue(rds.key.principal) for _ in range(2))
    database = connect(poolclass=NullPool)
    for key in (old, new):
        for name, value in key.environ().items():
            monkeypatch.setenv(name, value)
        assert database.scalar("select 1") == 1
        # As if the credentials had been loaded some time ago.
        database.inside.age(60)
        old.revoked = True
    assert [d.access_key for d in rds.decisions if d.granted] == [old.access_key, new.access_key]


def test_rotated_secret(log_in: LogIn, secret: Secret) -> None:
    """Between any two steps of a rotation, and after it, the password of a secret logs in."""
    database = log_in(secret)
    for _ in secret.rotation():
        assert database.scalar("select 1") == 1
    assert database.scalar(database.words.user) == USER


def _whole(error: BaseException | None) -> str:
    text = ""
    while error is not None:
        text += str(error)
        error = error.__cause__
    return text
