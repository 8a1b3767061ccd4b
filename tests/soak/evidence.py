"""What the client processes wrote down, read back: connects, samples, ends of children."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Connect:
    """One connect of one worker, times in epoch seconds.

    Attributes:
        end: None for one that hangs.
        error: The error's class and text, None when all went well.
        listener: Seconds spent in the plugin before the driver was called first, None for a
            connection that the pool had already, and for failures.
        attempts: How many times the driver was called.
        leak: Whether the error's text held a secret.
    """

    client: str
    pid: int
    worker: str
    start: float
    end: float | None
    error: str | None = None
    listener: float | None = None
    attempts: int = 1
    leak: bool = False

    def met(self, start: float, end: float) -> bool:
        """Whether some of it happened from `start` to `end`."""
        return self.start <= end and (self.end is None or self.end >= start)


@dataclass
class Evidence:
    """All records of one client, its forked children's included."""

    client: str
    directory: Path
    connects: list[Connect] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    children: list[int] = field(default_factory=list)
    _read: dict[Path, int] = field(default_factory=dict)

    def read(self) -> None:
        """Take in what has been written since the last time."""
        for path in self.directory.glob("*.jsonl"):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                lines = file.read()
            complete = lines.rpartition(b"\n")[0]
            if complete:
                self._read[path] = self._read.get(path, 0) + len(complete) + 1
                for line in complete.split(b"\n"):
                    self._take(json.loads(line))

    @property
    def errors_shown(self) -> str:
        """What the process wrote to its standard error."""
        return (self.directory / "stderr").read_text(encoding="utf-8", errors="replace")

    def _take(self, record: dict[str, Any]) -> None:
        kind, pid = record.pop("kind"), record.pop("pid")
        if kind == "connect":
            self.connects.append(Connect(client=self.client, pid=pid, **record))
        elif kind == "sample":
            self.samples.append(record)
        else:
            self.children.append(record["status"])
