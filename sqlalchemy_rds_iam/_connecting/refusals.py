"""What a failed login means, and so what comes next. Pure: no clock, no cache, no engine.

RDS refuses a throttled login in the same words as one that is not allowed. What tells them apart is
the past: a user who has been let in before probably still is. Only RDS Proxy says outright that it
throttles ("Troubleshooting for RDS Proxy" in the user guide).
"""

from __future__ import annotations

from typing import Literal

from sqlalchemy_rds_iam._databases.family import Family
from sqlalchemy_rds_iam._ratelimit.retry_policy import NEVER, RECENT, LoginHistory

Meaning = Literal["other", "replace", "throttled", "final"]
"""``other``: the password was not refused. ``replace``: it may be out of date, so a new one may be
taken. ``throttled``: logins come too fast, so the same may be taken later. ``final``: this is the
answer."""


def meaning(
    error: BaseException,
    login: LoginHistory,
    now: float,
    family: Family,
    *,
    has_replaced: bool,
    patient: bool,
) -> Meaning:
    """Say what a failed login means.

    Args:
        error: the driver's.
        login: the logins at the same place so far.
        now: the time, on the clock of `login`.
        family: of the server, which knows its words.
        has_replaced: whether this connect has asked for a new password already.
        patient: whether a refusal may be taken for throttling at all.
    """
    certain = family.is_throttled(error)
    if not certain and not family.is_refusal(error):
        return "other"
    by = "throttling" if certain else family.refused_by(error)
    if by == "password":
        return "final"
    # Once is enough; and where others have just been let in, the credentials are good.
    is_good = patient and now - login.accepted_at <= RECENT
    if not (certain or has_replaced or is_good):
        return "replace"
    # One who was let in, and then was not for as long as a connect may take, is so no more.
    is_open = login.accepted_at != NEVER or login.accepted_before == NEVER
    if patient and (certain or (by == "unclear" and is_open)):
        return "throttled"
    return "final"
