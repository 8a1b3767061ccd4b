"""A hook for tests of what operators see."""

from __future__ import annotations

from sqlalchemy_rds_iam import Event


class Seen(list[Event]):
    """A hook that keeps what it is fed."""

    def __call__(self, event: Event) -> None:
        """Keep it."""
        self.append(event)

    @property
    def kinds(self) -> list[str]:
        """What has happened, in order."""
        return [event.kind for event in self]

    def of(self, kind: str) -> Event:
        """The one event of this kind."""
        [found] = [event for event in self if event.kind == kind]
        return found
