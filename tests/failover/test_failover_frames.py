"""A connect that waits for its server in vain leaves no token behind, whatever it has tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import odd_servers
import pytest
from failover_support import aside, looks
from frames_support import SIGNATURE, shown
from sqlalchemy.pool import NullPool
from worlds import POSTGRESQL, Database, on

from sqlalchemy_rds_iam import WrongServerError
from sqlalchemy_rds_iam.testing import RdsCluster

MakeWriter = Callable[..., Database]

pytestmark = on(*POSTGRESQL, "pymysql", "asyncmy")


@pytest.fixture
def at_the_standby(cluster: RdsCluster, writer: MakeWriter) -> MakeWriter:
    """Make a database that wants a writer where the standby is."""
    standby = cluster.standby
    assert standby is not None
    url = cluster.instance_url(standby.number, writer(wants=None).engine.url.drivername)

    def make(**kwargs: Any) -> Database:
        return writer(url=url, poolclass=NullPool, **kwargs)

    return make


def test_another_server(at_the_standby: MakeWriter) -> None:
    """Its driver has connected, and was told to close again."""
    error = at_the_standby(rds_iam_failover_timeout=0.3).raises(WrongServerError)
    assert not SIGNATURE.search(shown(error))


def test_no_server(cluster: RdsCluster, writer: MakeWriter) -> None:
    """Its driver has failed, once or more often."""
    url = cluster.writer_url(writer(wants=None).engine.url.drivername)
    url = url.set(port=odd_servers.closed_port())
    error = writer(url=url, poolclass=NullPool, rds_iam_failover_timeout=0.3).raises(Exception)
    assert any("no read-write server was found" in note for note in error.__notes__)
    assert not SIGNATURE.search(shown(error))


def test_a_question_that_fails(
    cluster: RdsCluster, at_the_standby: MakeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is open, and no error of a connect has emptied its driver's frames yet."""
    database = at_the_standby(rds_iam_failover_timeout=0.3)
    rules = database.inside.listener._failover._rules
    monkeypatch.setattr(
        database.inside.listener._failover,
        "_rules",
        rules._replace(question="SELECT no_such_column"),
    )
    error = database.raises(Exception)
    assert "no_such_column" in str(error)
    assert not SIGNATURE.search(shown(error))


def test_one_that_waits_for_another(at_the_standby: MakeWriter) -> None:
    """It has not connected itself."""
    database = at_the_standby(rds_iam_failover_timeout=2)
    with aside(lambda: database.raises(WrongServerError)) as first:
        looks(database)
        error = at_the_standby(rds_iam_failover_timeout=0.2).raises(WrongServerError)
        first.result()
    assert not SIGNATURE.search(shown(error))
