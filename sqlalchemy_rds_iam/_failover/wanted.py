"""Whether a session is on the server that an engine wants. Pure.

A report that fits is believed. Any other is asked about before it counts: a pooler between passes
on what it was once told, and a default that is read-only may be the user's own wish.
"""

from __future__ import annotations

from sqlalchemy_rds_iam._databases.session_attrs import Answered, Reported

_EVERY = {"any", "prefer-standby"}
"""Words that every server fulfils where there is one host to try, as with us."""


def is_checked(wanted: str) -> bool:
    """Whether an engine looks at its sessions at all."""
    return wanted not in _EVERY


def fits(wanted: str, reported: Reported) -> bool:
    """Whether such a session will do, as reported; if not, the server has to be asked."""
    standby, read_only = reported
    if wanted == "read-write":
        return standby is False and read_only is False
    if wanted == "primary":
        return standby is False
    if wanted == "standby":
        return bool(standby)
    return bool(standby or read_only)


def will_do(wanted: str, answered: Answered) -> bool:
    """Whether such a session will do, as the server has answered.

    A default that the user wants, of the role, the database or the connection's own options, is
    not the server's: a writer's session is on a writer all the same.
    """
    standby, read_only, by_user = answered
    if wanted == "read-write":
        return not standby and (by_user or not read_only)
    if wanted == "primary":
        return not standby
    if wanted == "standby":
        return standby
    return standby or read_only
