"""Which failure had a fault to excuse it: one that can cause that very failure, at that very time.

A fault counts from its begin to its end and for what the documentation grants beyond:

- ``rds_iam_failure_ttl``, for which a failed fetch stands for the next ones;
- the end of an AWS request that the fault has caught, which is the fetch's own deadline;
- the life of revoked credentials that the endpoint goes on handing out;
- the second for which credentials that have just been fetched are not fetched again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from soak.account import Account
from soak.evidence import Connect
from soak.faults import AWS, CLOCK, EVERYBODY, Fault

FAILURE_TTL = 1.0
LAST_SLEEP = 1.0
"""Seconds that botocore sleeps after the last failed try at a container's endpoint."""

RELOAD_PAUSE = 1.0
SLACK = 0.5
"""Seconds for an overloaded machine to get from a cause to its effect."""

PATIENCE = {"sts": 5.0, "imds": 1.0, "container": 2.0}
"""Seconds that one request waits for its answer: ours for STS, botocore's for the others."""

LONGEST_LOGIN = 2.0
"""Seconds that may pass there between taking a token and its being looked at."""

_CLASSES = {
    "hang": r"^hangs$",
    "credentials": r"^(CredentialsError|WaitTimeout):",
    "refused": r"authentication failed",
    "certificate": r"(?i)certificate",
}


def failure(connect: Connect) -> str:
    """What kind of failure this is: hang, credentials, refused, certificate or session.

    The last is everything else: drivers have many words for a connection that was cut.
    """
    text = connect.error or ""
    return next((name for name, shape in _CLASSES.items() if re.search(shape, text)), "session")


class Judge:
    """Knows what went wrong around one client and judges its failures.

    Args:
        client: the client's name.
        account: its AWS.
        faults: everything that went wrong.
        end: when the run ended.
    """

    def __init__(self, client: str, account: Account, faults: Sequence[Fault], end: float) -> None:
        self._account = account
        self._calls = list(account.service.watched)
        self._end = end
        own = [fault for fault in faults if fault.target in {client, EVERYBODY}]
        # The one that excuses least comes last.
        own.sort(key=lambda fault: fault.kind == "refuse-next")
        self._spans = [(fault, fault.start, self._until(fault)) for fault in own]

    def excuse(self, connect: Connect) -> str | None:
        """The kind of fault that a failed connect may be put down to, if there is one."""
        if connect.leak:
            return None
        what = failure(connect)
        around = [fault.kind for fault, start, end in self._spans if connect.met(start, end)]
        return next((kind for kind in around if self._causes(kind, what, around, connect)), None)

    def refusal_excused(self, time: float) -> bool:
        """Whether a login that was refused at `time` had a fault to be refused for."""
        kinds = {*CLOCK, "forbidden", "revoked", "refuse-next", "frozen"}
        return any(
            # The gateway notes the time at the begin of a decision that takes a moment.
            fault.kind in kinds and start - SLACK <= time <= end + LONGEST_LOGIN
            for fault, start, end in self._spans
        )

    def faultless(self, connect: Connect) -> bool:
        """Whether nothing went wrong around a connect."""
        return not any(connect.met(start, end + SLACK) for _, start, end in self._spans)

    def renewing(self, connect: Connect) -> bool:
        """Whether credentials were being fetched at the time of a connect."""
        return any(connect.met(call.start, call.end) for call in self._calls)

    def overlap(self) -> float:
        """The longest time for which two requests of one process were under way at once."""
        longest, patience = 0.0, PATIENCE[self._account.provider]
        for caller in {call.caller for call in self._calls}:
            busy_until = 0.0
            for call in self._calls:
                if call.caller == caller:
                    # The connection of a call given up stays open where a forked child holds it.
                    end = min(call.end, call.start + patience, self._end)
                    longest = max(longest, min(busy_until, end) - call.start)
                    busy_until = max(busy_until, end)
        return longest

    def met(self, fault: Fault, connect: Connect) -> bool:
        """Whether `fault` was in effect around a connect."""
        return any(connect.met(start, end) for f, start, end in self._spans if f is fault)

    def _causes(self, kind: str, what: str, around: list[str], connect: Connect) -> bool:
        match what:
            case "credentials":
                return kind in AWS or kind == "frozen"
            case "refused" if kind == "refuse-next":
                # Else the token was worth a second try, and that one was not refused.
                return any(other in AWS for other in around) or self._just_fetched(connect)
            case "refused":
                return kind in {*CLOCK, "forbidden", "revoked", "frozen"}
            case "certificate":
                return kind == "bad-certificate"
            case "session":
                return kind == "sessions-killed"
        return False

    def _just_fetched(self, connect: Connect) -> bool:
        end = self._end if connect.end is None else connect.end
        return any(connect.start - RELOAD_PAUSE - SLACK <= call.end <= end for call in self._calls)

    def _until(self, fault: Fault) -> float:
        end = min(fault.end, self._end)
        if fault.kind in AWS:
            if fault.kind == "aws-slow" and self._account.provider == "sts":
                return fault.start  # its two seconds are within every deadline there
            caught = [call.end for call in self._calls if fault.start <= call.start <= end]
            last = LAST_SLEEP if self._account.provider == "container" else 0.0
            return min(max([end, *caught]), self._end) + last + FAILURE_TTL + SLACK
        if fault.kind == "revoked":
            return self._replaced(fault.start)
        if fault.kind == "frozen":
            # Credentials that were on their way have died there, which counts as a failed fetch.
            on_their_way = any(
                call.start <= end and call.end >= fault.start - SLACK for call in self._calls
            )
            return end + (FAILURE_TTL + SLACK if on_their_way else 0.0)
        if fault.kind == "sessions-killed":
            return end + SLACK
        return end

    def _replaced(self, revoked: float) -> float:
        """When credentials revoked at a certain time can have been replaced."""
        soonest = revoked + RELOAD_PAUSE + SLACK
        if self._account.provider == "sts":
            return soonest
        before = [call.key for call in self._calls if call.end <= revoked]
        fetched = [
            call.end
            for call in self._calls
            if call.end > revoked and call.key != (before or [None])[-1] and call.caller == ""
        ]
        # Handed out for half of a life, and asked for again after pauses that double.
        latest = revoked + self._account.lives[1] + 2 * RELOAD_PAUSE + SLACK
        if any(call.caller for call in self._calls):
            return latest  # each forked child has to find out for itself
        return max(soonest, min([latest, *(end + SLACK for end in fetched)]))
