"""The whole verdict on a run: what was lost, what else must not have happened, and the numbers."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from soak.actors import Actor
from soak.cast import Role
from soak.evidence import Connect, Evidence
from soak.failovers import Failovers
from soak.faults import Fault
from soak.judge import Judge, failure
from sqlalchemy_rds_iam.testing import Decision, RdsEmulator

LONGEST_OVERLAP = 0.1
"""Seconds that an endpoint may need to notice that a client has hung up."""

SPARE_THREADS = 8
SPARE_FDS = 10
SPARE_RSS = 48 * 2**20
"""How much a process may have grown since the first fifth of the run, in bytes."""

SECRETS = ("X-Amz-Signature", "IQoJb3JpZ2luX2VjE")
"""What tokens contain, and how the emulator's session tokens begin."""

WARM_UP = 10.0
BUDGET_FACTOR, BUDGET_PLUS = 2.0, 0.001


@dataclass
class Verdict:
    """What came out of a run.

    Attributes:
        lost: Failed connects without an excuse, as lines of text.
        broken: Other promises that were not kept.
        clients: Numbers for each client.
        faults: Numbers for each kind of fault.
        refusals: Refused logins by the reason IAM would log.
        times: Percentiles of connects and of the time in the plugin, in seconds.
        writes: Numbers for each client that writes to the cluster.
    """

    lost: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    clients: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    refusals: dict[str, int] = field(default_factory=dict)
    times: list[dict[str, Any]] = field(default_factory=list)
    writes: list[dict[str, Any]] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing was lost and nothing broken."""
        return not self.lost and not self.broken

    def add_failovers(self, failovers: Failovers) -> None:
        """End the failovers of the cluster, and judge its clients."""
        self.writes, lost, broken = failovers.rows()
        self.lost += lost
        self.broken += broken
        for kind, times in sorted(Counter(each.kind for each in failovers.happened).items()):
            alike = [each for each in failovers.happened if each.kind == kind]
            self.faults.append(
                {
                    "fault": f"failover, {kind}",
                    "times": times,
                    "seconds": sum(each.moved - each.start for each in alike),
                    "connects": sum(each.writes for each in alike),
                    "excused": sum(each.failed for each in alike),
                }
            )


def reach(
    rds: RdsEmulator,
    actors: Sequence[Actor],
    evidence: dict[str, Evidence],
    faults: Sequence[Fault],
    span: tuple[float, float],
) -> Verdict:
    """Judge a run that went on for `span` (epoch seconds)."""
    verdict = Verdict()
    decisions = [(_true_time(decision, span), decision) for decision in rds.decisions]
    verdict.refusals = dict(Counter(str(d.reason) for _, d in decisions if not d.granted))
    judges = {
        actor.role.name: Judge(actor.role.name, actor.account, faults, span[1]) for actor in actors
    }
    excuses: Counter[str] = Counter()
    for actor in actors:
        name = actor.role.name
        mine = [
            (time, decision)
            for time, decision in decisions
            if decision.principal == actor.account.role.arn
        ]
        _judge_client(verdict, actor, evidence[name], judges[name], mine, excuses, span[0])
    for _time, decision in decisions:
        key = rds.identities.find(decision.access_key or "")
        if decision.granted and key and key.expires_at and key.expires_at <= decision.time:
            verdict.broken.append("the gateway let in a token whose credentials had expired")
    for kind in sorted({fault.kind for fault in faults}):
        alike = [fault for fault in faults if fault.kind == kind]
        verdict.faults.append(
            {
                "fault": kind,
                "times": len(alike),
                "seconds": sum(min(fault.end, span[1]) - fault.start for fault in alike),
                "connects": sum(
                    judges[name].met(fault, connect)
                    for fault in alike
                    for name in judges
                    for connect in evidence[name].connects
                ),
                "excused": excuses[kind],
            }
        )
    _judge_rollovers(verdict, actors, evidence, judges, span[0])
    return verdict


def _judge_client(
    verdict: Verdict,
    actor: Actor,
    evidence: Evidence,
    judge: Judge,
    decisions: Sequence[tuple[float, Decision]],
    excuses: Counter[str],
    start: float,
) -> None:
    name, role = actor.role.name, actor.role
    failed = [connect for connect in evidence.connects if connect.error is not None]
    lost = 0
    for connect in failed:
        excuse = judge.excuse(connect)
        if excuse is not None:
            excuses[excuse] += 1
            continue
        lost += 1
        verdict.lost.append(_line(connect, start))
    unprovoked = [
        decision
        for time, decision in decisions
        if not decision.granted and not judge.refusal_excused(time)
    ]
    keys = {decision.access_key for _, decision in decisions if decision.granted}
    first, last = _sizes(evidence.samples)
    threads = max((sample["threads"] for sample in evidence.samples), default=0)
    bound = _thread_bound(role)
    overlap = judge.overlap()
    attempts = [connect for connect in evidence.connects if connect.listener is not None]
    row = {
        "client": name,
        "connects": len(evidence.connects),
        "ok": len(evidence.connects) - len(failed),
        "excused": len(failed) - lost,
        "lost": lost,
        "logins": sum(connect.attempts for connect in attempts),
        "second_tries": sum(connect.attempts > 1 for connect in attempts),
        "refused": sum(not decision.granted for _, decision in decisions),
        "unprovoked": len(unprovoked),
        "fetches": actor.account.fetches,
        "rollovers": max(len(keys) - 1, 0),
        "fetch_overlap": max(overlap, 0.0),
        "threads": threads,
        "thread_bound": bound,
        "fds": [first["fds"], last["fds"]],
        "rss": [first["rss"], last["rss"]],
        "children": len(evidence.children),
    }
    verdict.clients.append(row)
    fetchers = max((sample["fetchers"] for sample in evidence.samples), default=0)
    for wrong, what in (
        (unprovoked, f"{len(unprovoked)} logins refused without a fault: {unprovoked[:3]}"),
        (overlap > LONGEST_OVERLAP, f"two AWS requests at once for {overlap:.2f} s"),
        (threads > bound, f"{threads} threads, of which {bound} are accounted for"),
        (fetchers > 2, f"{fetchers} threads that fetch"),
        (last["fds"] > first["fds"] + SPARE_FDS, f"file descriptors grew: {row['fds']}"),
        (last["rss"] > first["rss"] + SPARE_RSS, f"memory grew: {row['rss']}"),
        (actor.exit_code != 0, f"exit status {actor.exit_code}"),
        (any(evidence.children), f"children ended with {Counter(evidence.children)}"),
        ("Traceback" in evidence.errors_shown, "a traceback on standard error"),
        (any(word in evidence.errors_shown for word in SECRETS), "a secret on standard error"),
        (not evidence.connects, "no connect at all"),
    ):
        if wrong:
            verdict.broken.append(f"{name}: {what}")


def _judge_rollovers(
    verdict: Verdict,
    actors: Sequence[Actor],
    evidence: dict[str, Evidence],
    judges: dict[str, Judge],
    start: float,
) -> None:
    """Issue: a rollover must not be felt, although AWS takes its time."""
    for actor in actors:
        name = actor.role.name
        warm = [
            connect
            for connect in evidence[name].connects
            if connect.listener is not None and connect.start > start + WARM_UP
            if judges[name].faultless(connect)
        ]
        renewing = [connect for connect in warm if judges[name].renewing(connect)]
        met = set(map(id, renewing))
        steady = [connect for connect in warm if id(connect) not in met]
        rows: list[dict[str, Any]] = [
            {"client": name, "when": when, "connects": len(some)} | _percentiles(some)
            for when, some in (("steady", steady), ("renewing", renewing))
        ]
        verdict.times += rows
        if not actor.role.measured or not steady or not renewing:
            continue
        usual, felt = (row["listener_p99"] for row in rows)
        budget = BUDGET_FACTOR * usual + BUDGET_PLUS
        if felt > budget:
            verdict.broken.append(
                f"{name}: p99 in the plugin {felt * 1e3:.2f} ms while credentials are renewed, "
                f"more than {budget * 1e3:.2f} ms"
            )


def _percentiles(connects: Sequence[Connect]) -> dict[str, float]:
    total = [connect.end - connect.start for connect in connects if connect.end is not None]
    ours = [connect.listener for connect in connects if connect.listener is not None]
    return {
        f"{name}_p{percent}": percentile(values, percent)
        for name, values in (("connect", total), ("listener", ours))
        for percent in (50, 99)
    }


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent of `values` do not exceed; NaN if there are none."""
    if len(values) < 2:
        return values[0] if values else float("nan")
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _sizes(samples: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The smallest of the first and of the last fifth of a run: what leaks never comes back."""
    if not samples:
        nothing = {"fds": 0, "rss": 0}
        return nothing, nothing
    samples = [
        sample for sample in samples if sample["time"] > samples[0]["time"] + WARM_UP
    ] or samples
    fifth = max(len(samples) // 5, 1)
    return tuple(  # type: ignore[return-value]
        {size: min(sample[size] for sample in some) for size in ("fds", "rss")}
        for some in (samples[:fifth], samples[-fifth:])
    )


def _thread_bound(role: Role) -> int:
    threads = sum(worker.count for worker in role.workers if worker.loop is None)
    loops = {worker.loop for worker in role.workers if worker.loop is not None}
    return threads + len(loops) + SPARE_THREADS


def _true_time(decision: Decision, span: tuple[float, float]) -> float:
    """When a decision was made, whatever the database's clock said then."""
    return next(
        (
            decision.time - offset
            for offset in (0.0, 3600.0, -3600.0)
            if span[0] - 60 <= decision.time - offset <= span[1] + 60
        ),
        decision.time,
    )


def _line(connect: Connect, start: float) -> str:
    took = "no end" if connect.end is None else f"{connect.end - connect.start:.2f} s"
    return (
        f"{connect.client} {connect.worker} pid {connect.pid} at {connect.start - start:.2f} s, "
        f"{took}, {failure(connect)}: {connect.error}"
    )
