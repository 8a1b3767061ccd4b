"""The soak excuses the transaction that was in flight at a failover, and no other failed write."""

from __future__ import annotations

from soak.failovers import SLACK, Failover, unexcused

FAILOVERS = [Failover("killed", 10.0, 12.0), Failover("restarted", 40.0, 45.0)]


def _errors(*failed: tuple[int, float]) -> int:
    return len(unexcused([(*each, "words", False, True) for each in failed], FAILOVERS))


def test_one_for_each_worker_and_failover() -> None:
    """From the fault on until shortly after the name has moved, and once."""
    assert _errors((0, 10.5), (1, 10.5), (0, 41.0)) == 0
    assert _errors((0, 10.5), (0, 11.0)) == 1


def test_nothing_else() -> None:
    """Before the fault, and once it is over, every error counts."""
    assert _errors((0, 9.9)) == 1
    assert _errors((0, 12.0 + SLACK + 0.1)) == 1
    assert unexcused([(0, 10.5, "words", True, True)], []) != []
