"""A cluster in a process of its own (`cluster_process`), for benchmarks of failovers."""

from __future__ import annotations

from typing import Any, Self

from sqlalchemy import URL, make_url

from benchmarks.lib.command_process import CommandProcess
from benchmarks.lib.emulated import own_environment

KINDS = ("killed", "restarted", "left read-only", "switch-over")
"""What becomes of the old writer; in a switch-over it is shut down in good order."""


class Cluster:
    """A writer and a standby, seen from another process.

    Args:
        synchronous: whether a commit waits for the standby.

    Attributes:
        url: of the writer endpoint and the plugin, for psycopg.
        signed: host, port and region that tokens are signed for.
        environ: of a process in the emulated account, and no other AWS or PostgreSQL settings.
    """

    url: URL
    signed: dict[str, Any]
    environ: dict[str, str]

    def __init__(self, *, synchronous: bool) -> None:
        arguments = () if synchronous else ("asynchronous",)
        self._process = CommandProcess(
            "benchmarks.lib.cluster_process", *arguments, name="the cluster", deadline=120.0
        )

    def __enter__(self) -> Self:
        self._process.__enter__()
        try:
            told = self._process.answer()
        except BaseException:
            self.__exit__()
            raise
        self.url = make_url(told["url"]).difference_update_query(["rds_iam_throttle_retry"])
        self.signed = told["signed"]
        self.environ = own_environment() | told["environ"]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.__exit__()

    def start_over(self) -> None:
        """Have a writer and a standby again, an empty table, and forget all logins."""
        self._process.ask("start_over")

    def stop_replication(self) -> None:
        """Let the standby get nothing any more; a commit that waits for it waits on."""
        self._process.ask("stop_replication")

    def fail_over(self, kind: str, lag: float) -> None:
        """Make the standby the writer; return once it is, and the names have followed.

        Args:
            kind: one of `KINDS`.
            lag: seconds by which the names are late.
        """
        self._process.ask("fail_over", kind, lag)

    def outcome(self) -> dict[str, Any]:
        """What the last failover was.

        Returns:
            "fault_at", "promoted_at" and "moved_at" by ``time.monotonic()``, which processes of a
            machine share; "logins" after the promotion, at the old writer while the names led there
            ("logins_at_old"); and the numbers in the "rows" of the table on the new writer.
        """
        return self._process.ask("outcome")
