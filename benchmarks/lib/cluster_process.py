"""The process of a cluster with its failovers: see `command_process`."""

from __future__ import annotations

import sys
import time
from typing import Any, Literal

from benchmarks.lib.clustered import KINDS
from benchmarks.lib.command_process import serve
from benchmarks.lib.database_process import introduce, prepare
from sqlalchemy_rds_iam.testing import RdsCluster

_DATABASE = "app"
_LONGEST = 60.0
_OLD: dict[str, bool | Literal["restart"]] = dict(
    zip(KINDS, (True, "restart", False), strict=False)
)


# What lets all users write to the table, and what keeps a standby from getting anything more.
_OPEN = {"postgresql": ("GRANT INSERT ON written TO PUBLIC",), "mysql": ()}
_CUT_OFF = {
    "postgresql": ("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"),
    "mysql": ("STOP SLAVE IO_THREAD",),
}


def _serve() -> None:
    prepare()
    engine = sys.argv[1]
    with RdsCluster(engine=engine, synchronous="asynchronous" not in sys.argv) as rds:
        rds.execute("CREATE TABLE written (number bigint PRIMARY KEY)", _DATABASE)
        for sql in _OPEN[engine]:
            rds.execute(sql, _DATABASE)
        introduce(rds, engine, rds.writer_url)
        serve(_Commands(rds))


class _Commands:
    def __init__(self, rds: RdsCluster) -> None:
        self._rds, self._old = rds, rds.writer
        self._fault_at = 0.0

    def start_over(self) -> None:
        self._rds.reset()
        self._rds.execute("TRUNCATE written", _DATABASE)
        self._rds.clear()

    def stop_replication(self) -> None:
        standby = self._rds.standby
        for sql in _CUT_OFF[self._rds.engine.name]:
            self._rds.execute(sql, member=standby)

    def fail_over(self, kind: str, lag: float) -> None:
        self._old = self._rds.writer
        self._fault_at = time.monotonic()
        if kind in _OLD:
            self._rds.failover(lag, kill=_OLD[kind])
        else:
            self._rds.switch_over(lag)
        if not self._rds.names.moved.wait(lag + _LONGEST):
            raise TimeoutError("the names have not followed")

    def outcome(self) -> dict[str, Any]:
        names = self._rds.names
        epoch = time.time() - time.monotonic()
        promoted, moved = names.promoted_at + epoch, names.moved_at + epoch
        at_old = [each for each in self._old.decisions if promoted <= each.time <= moved]
        rows = self._rds.execute("SELECT number FROM written", _DATABASE)
        return {
            "fault_at": self._fault_at,
            "promoted_at": names.promoted_at,
            "moved_at": names.moved_at,
            "logins": sum(each.time >= promoted for each in self._rds.decisions),
            "logins_at_old": len(at_old),
            "rows": [int(str(number)) for (number,) in rows],
        }


if __name__ == "__main__":
    _serve()
