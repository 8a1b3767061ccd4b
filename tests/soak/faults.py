"""What goes wrong, and when: kinds of faults, and a schedule that draws them at random."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from soak.actors import Actor
from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.aws.service import AwsError

EVERYBODY = "everybody"
AWS = ("aws-reset", "aws-slow", "aws-5xx", "aws-garbage", "aws-hang")
CLOCK = ("clock-ahead", "clock-behind")


@dataclass
class Fault:
    """One thing that went wrong, from when to when (epoch seconds)."""

    kind: str
    target: str
    start: float
    end: float = math.inf


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        begin: Makes it so and returns what takes it back.
        spans: The shortest and the longest time it lasts; None for as long as it has to.
        claims: What no other fault may touch meanwhile; ``own`` is the client's identity.
        rest: Seconds for which the claims are kept beyond its end, so that faults whose
            consequences cannot be told apart do not meet.
    """

    name: str
    begin: Callable[[RdsEmulator, Actor], Callable[[], object]]
    spans: tuple[float, float]
    claims: tuple[str, ...]
    rest: float
    weight: float = 1.0
    common: bool = False


def _fail(failure: AwsError | str) -> Callable[[RdsEmulator, Actor], Callable[[], object]]:
    def begin(_rds: RdsEmulator, actor: Actor) -> Callable[[], object]:
        service = actor.account.service
        service.fail(failure)  # type: ignore[arg-type]
        return service.recover

    return begin


def _slow(_rds: RdsEmulator, actor: Actor) -> Callable[[], object]:
    service = actor.account.service
    service.latency = 2.0
    return lambda: setattr(service, "latency", actor.role.latency)


def _revoke(rds: RdsEmulator, actor: Actor) -> Callable[[], object]:
    rds.identities.revoke(actor.account.role)
    return _nothing


def _forbid(_rds: RdsEmulator, actor: Actor) -> Callable[[], object]:
    role = actor.account.role
    role.db_users = frozenset()
    return lambda: setattr(role, "db_users", None)


def _refuse(rds: RdsEmulator, _actor: Actor) -> Callable[[], object]:
    rds.gateway.refuse_next = 1
    return lambda: setattr(rds.gateway, "refuse_next", 0)


def _kill(rds: RdsEmulator, _actor: Actor) -> Callable[[], object]:
    rds.kill_sessions()
    return _nothing


def _distrust(rds: RdsEmulator, _actor: Actor) -> Callable[[], object]:
    bad = (rds.certificates.unrelated, rds.certificates.expired, rds.certificates.other_host)
    good, rds.gateway.certificate = rds.gateway.certificate, random.choice(bad)()
    return lambda: setattr(rds.gateway, "certificate", good)


def _step(seconds: float) -> Callable[[RdsEmulator, Actor], Callable[[], object]]:
    def begin(rds: RdsEmulator, _actor: Actor) -> Callable[[], object]:
        rds.clock_offset = seconds
        return lambda: setattr(rds, "clock_offset", 0.0)

    return begin


def _freeze(_rds: RdsEmulator, actor: Actor) -> Callable[[], object]:
    actor.freeze()
    return actor.thaw


def _fork(_rds: RdsEmulator, actor: Actor) -> Callable[[], object]:
    actor.order("fork 8")
    return _nothing


def _nothing() -> None: ...


_ERROR = AwsError(503, "ServiceUnavailable", "Please try again later.")
_SHORT = (1.0, 6.0)
_MOMENT = (0.0, 0.0)

KINDS = (
    Kind("aws-reset", _fail("reset"), (1.0, 8.0), ("own",), 8.0),
    Kind("aws-slow", _slow, (2.0, 8.0), ("own",), 8.0),
    Kind("aws-5xx", _fail(_ERROR), (1.0, 8.0), ("own",), 8.0),
    Kind("aws-garbage", _fail("garbage"), (1.0, 8.0), ("own",), 8.0),
    Kind("aws-hang", _fail("hang"), (2.0, 8.0), ("own",), 10.0),
    Kind("revoked", _revoke, _MOMENT, ("own", "refusals"), 14.0, 2.0),
    Kind("forbidden", _forbid, _SHORT, ("own",), 4.0),
    # Until a client has met it, which at this load takes a moment.
    Kind("refuse-next", _refuse, (1.0, 1.0), ("refusals",), 1.0, 2.0, common=True),
    Kind("sessions-killed", _kill, _MOMENT, ("sessions",), 1.0, common=True),
    Kind("bad-certificate", _distrust, _SHORT, ("certificate",), 1.0, common=True),
    Kind("clock-ahead", _step(3600.0), _SHORT, ("refusals",), 6.0, 0.7, common=True),
    Kind("clock-behind", _step(-3600.0), _SHORT, ("refusals",), 6.0, 0.7, common=True),
    Kind("frozen", _freeze, (math.nan, math.nan), ("own",), 4.0, 2.0),
    Kind("forked", _fork, _MOMENT, ("forks",), 4.0, 2.5),
)


class Schedule:
    """Draws faults, begins them and ends them."""

    def __init__(self, rds: RdsEmulator, actors: Sequence[Actor], gap: tuple[float, float]) -> None:
        self.faults: list[Fault] = []
        self._rds = rds
        self._actors = actors
        self._gap = gap
        self._next = time.time() + gap[1]
        self._active: list[tuple[Fault, float, Callable[[], object]]] = []
        self._claimed: dict[str, float] = {}

    def tick(self, *, more: bool) -> None:
        """End what is due and, if there are to be `more`, begin the next."""
        now = time.time()
        for entry in [entry for entry in self._active if entry[1] <= now]:
            self._end(entry)
        if more and now >= self._next:
            self._next = now + random.uniform(*self._gap)
            self._begin(now)

    def end(self) -> None:
        """Take back everything."""
        for entry in list(self._active):
            self._end(entry)

    @property
    def active(self) -> list[str]:
        """What is wrong at the moment."""
        return [f"{fault.kind} {fault.target}" for fault, _, _ in self._active]

    def _end(self, entry: tuple[Fault, float, Callable[[], object]]) -> None:
        self._active.remove(entry)
        entry[2]()
        entry[0].end = time.time()

    def _begin(self, now: float) -> None:
        kind = random.choices(KINDS, [kind.weight for kind in KINDS])[0]
        eligible = [
            actor
            for actor in self._actors
            if (actor.role.forks if kind.name == "forked" else actor.role.faults or kind.common)
        ]
        actor = random.choice(eligible)
        target = EVERYBODY if kind.common else actor.role.name
        claims = [f"{claim} {target}" if claim == "own" else claim for claim in kind.claims]
        if any(self._claimed.get(claim, 0.0) > now for claim in claims):
            return
        span = random.uniform(*kind.spans)
        if kind.name == "frozen":
            # Longer than the longest life of what it has in hand.
            span = actor.role.lives[1] + 1.5
        for claim in claims:
            self._claimed[claim] = now + span + kind.rest
        fault = Fault(kind.name, target, time.time())
        self.faults.append(fault)
        self._active.append((fault, now + span, kind.begin(self._rds, actor)))
