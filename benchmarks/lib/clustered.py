"""A cluster in a process of its own (`cluster_process`), for benchmarks of failovers."""

from __future__ import annotations

from typing import Any

from benchmarks.lib.command_process import CommandProcess
from benchmarks.lib.database_process import DatabaseProcess

KINDS = ("killed", "restarted", "left read-only", "switch-over")
"""What becomes of the old writer; in a switch-over it is shut down in good order."""


class Cluster(DatabaseProcess):
    """A writer and a standby, seen from another process.

    Args:
        synchronous: whether a commit waits for the standby.
        engine: the kind of database.

    The URL is that of the writer endpoint.
    """

    def __init__(self, *, synchronous: bool, engine: str = "postgresql") -> None:
        arguments = (engine,) if synchronous else (engine, "asynchronous")
        super().__init__(
            CommandProcess(
                "benchmarks.lib.cluster_process", *arguments, name="the cluster", deadline=120.0
            )
        )

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
