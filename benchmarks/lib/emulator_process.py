"""The process of the emulator: see `command_process`."""

from __future__ import annotations

import bisect
import gc
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.lib.command_process import serve
from benchmarks.lib.database_process import introduce, prepare
from benchmarks.lib.emulated import PROFILE
from benchmarks.simulated.live import Others, SharedCeiling
from sqlalchemy_rds_iam.testing import Decision, RdsEmulator

ROLE = "app"
CLERK = "clerk"
"""The user that logs in with a password."""


def _serve() -> None:
    prepare()
    engine, *how = sys.argv[1:]
    ports = [int(each) for each in how if each != "reuse"]
    port, listen_port = ports or (None, 0)
    with RdsEmulator(engine=engine, port=port, listen_port=listen_port) as rds:
        rds.gateway.reuse_sessions = "reuse" in how
        role = rds.identities.role(ROLE)
        config = Path(rds.environ()["AWS_CONFIG_FILE"])
        config.write_text(
            f"[profile {PROFILE}]\nrole_arn = {role.arn}\nsource_profile = source\n"
            f"[profile source]\naws_access_key_id = {rds.key.access_key}\n"
            f"aws_secret_access_key = {rds.key.secret_key}\n",
            encoding="utf-8",
        )
        commands = _Commands(rds)
        introduce(rds, engine, rds.url)
        # What there is by now is there to stay: no collection that is to stop the gateway for
        # longer than the ceiling's window can bear has to look at it.
        gc.collect()
        gc.freeze()
        serve(commands)


class _Commands:
    def __init__(self, rds: RdsEmulator) -> None:
        self._rds = rds
        self._calls = 0
        self._login: dict[str, Any] | None = None
        self._others: Others | None = None

    def start_over(self, ceiling: float | None) -> None:
        self._rds.gateway.ceiling = ceiling
        self._rds.clear()
        self._calls = len(self._rds.aws.sts.records)

    def login(self) -> dict[str, Any]:
        if self._login is None:
            secret = self._rds.secrets.create(CLERK, CLERK, database="app")
            fields = secret.fields()
            self._login = {"user": fields["username"], "password": fields["password"]}
        return self._login

    def slow_sts(self, latency: float) -> None:
        self._rds.aws.sts.latency = latency

    def lifetime(self, seconds: float | None) -> None:
        self._rds.aws.sts.lifetime = seconds

    def curve(self, name: str | None) -> None:
        certificate = self._rds.certificates.valid()
        if name is not None:
            certificate.set_ecdh_curve(name)
        self._rds.gateway.certificate = certificate

    def logins(self) -> dict[str, Any]:
        decisions = self._rds.decisions
        refused = Counter(str(each.reason) for each in decisions if not each.granted)
        return {
            "granted": sum(each.granted for each in decisions),
            "refused": dict(refused),
            "most_in_a_second": _most(decisions),
        }

    def others(self, strategy: str, processes: int, pool: int, begin: float, seed: int) -> None:
        ceiling = SharedCeiling(self._rds.gateway.ceiling)
        self._rds.gateway._ceiling = ceiling  # noqa: SLF001
        self._others = Others(ceiling, strategy, processes, pool, begin=begin, seed=seed)

    def outcome_of_others(self) -> dict[str, Any]:
        assert self._others is not None
        return self._others.outcome()

    def sts_calls(self) -> dict[str, Any]:
        return {"times": [each.time for each in self._rds.aws.sts.records[self._calls :]]}


def _most(decisions: list[Decision]) -> int:
    times = sorted(decision.time for decision in decisions)
    return max((bisect.bisect_left(times, t + 1) - i for i, t in enumerate(times)), default=0)


if __name__ == "__main__":
    _serve()
