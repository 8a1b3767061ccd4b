"""A verdict as tables, which read as text and as Markdown, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.lib import facts, measure
from soak.faults import Fault
from soak.verdict import Verdict

_SHOWN = 25


def text(verdict: Verdict, seconds: float, seed: int) -> str:
    """What is printed at the end."""
    parts = [
        f"{seconds:.0f} s, seed {seed}",
        _clients(verdict),
        _faults(verdict),
        _refusals(verdict),
        _times(verdict),
        _writes(verdict),
    ]
    for title, lines in (("LOST", verdict.lost), ("BROKEN", verdict.broken)):
        if lines:
            parts.append("\n".join([f"{title}: {len(lines)}", *lines[:_SHOWN]]))
    if verdict.good:
        parts.append("No connect and no write was lost, and no promise broken.")
    return "\n\n".join(parts)


def document(
    verdict: Verdict, seconds: float, seed: int, faults: Sequence[Fault], start: float
) -> dict[str, Any]:
    """What is written as JSON."""
    happened = [
        {
            "kind": fault.kind,
            "target": fault.target,
            "start": round(fault.start - start, 3),
            "end": round(fault.end - start, 3),
        }
        for fault in faults
    ]
    return {
        "benchmark": "soak",
        "seconds": round(seconds),
        "seed": seed,
        "good": verdict.good,
        **asdict(verdict),
        "happened": happened,
        "facts": facts.found(),
    }


def _clients(verdict: Verdict) -> str:
    head = (
        "client connects ok excused lost logins refused unprovoked fetches rollovers "
        "overlap threads bound fds RSS/MB children"
    )
    rows = [
        [
            row["client"],
            *(str(row[name]) for name in ("connects", "ok", "excused", "lost", "logins")),
            *(str(row[name]) for name in ("refused", "unprovoked", "fetches", "rollovers")),
            f"{row['fetch_overlap']:.2f}",
            str(row["threads"]),
            str(row["thread_bound"]),
            "{} → {}".format(*row["fds"]),
            " → ".join(f"{size / 2**20:.0f}" for size in row["rss"]),
            str(row["children"]),
        ]
        for row in verdict.clients
    ]
    sums = [str(sum(int(row[i]) for row in rows)) for i in range(1, 10)]
    rows.append(["all", *sums, "", "", "", "", "", str(sum(int(row[-1]) for row in rows))])
    return measure.table(head.split(), rows)


def _faults(verdict: Verdict) -> str:
    rows = [
        [
            row["fault"],
            str(row["times"]),
            f"{row['seconds']:.0f}",
            str(row["connects"]),
            str(row["excused"]),
        ]
        for row in verdict.faults
    ]
    return measure.table(
        ("fault", "times", "seconds", "connects or writes in it", "failed and excused"), rows
    )


def _refusals(verdict: Verdict) -> str:
    rows = [[reason, str(count)] for reason, count in sorted(verdict.refusals.items())]
    return measure.table(("logins refused", "count"), rows)


def _times(verdict: Verdict) -> str:
    head = ("client", "when", "new", "connect p50", "p99", "in the plugin p50", "p99 (ms)")
    rows = [
        [
            row["client"],
            row["when"],
            str(row["connects"]),
            *(
                f"{row[name] * 1e3:.2f}"
                for name in ("connect_p50", "connect_p99", "listener_p50", "listener_p99")
            ),
        ]
        for row in verdict.times
    ]
    return measure.table(head, rows)


def _writes(verdict: Verdict) -> str:
    head = ("writes to the cluster", "done", "failed", "lost", "first write p50", "most (s)")
    rows = [
        [
            row["client"],
            *(str(row[name]) for name in ("writes", "failed", "lost")),
            *(f"{row[name]:.2f}" for name in ("first_median", "first_most")),
        ]
        for row in verdict.writes
    ]
    return measure.table(head, rows)
