"""Where events go: into the log, into counts, and to the hooks of engines. The one place for it.

Nothing here takes a lock, and nothing here may be called with one held, as a hook or a log handler
takes the time that it takes.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy_rds_iam._concurrency import Counter
from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._masking import on_one_line
from sqlalchemy_rds_iam._passwords.cache import CREDENTIALS
from sqlalchemy_rds_iam._passwords.expiry import Cached, Outage
from sqlalchemy_rds_iam.events import KINDS, Event, EventFactory, Kind

logger = logging.getLogger("sqlalchemy_rds_iam")

ATTRIBUTE = "rds_iam"
"""The attribute of log records that holds an event's fields."""


class EngineCounters:
    """Where one engine's events go: into its counts, and to the hook of its options.

    Args:
        config: the options.

    Attributes:
        origin: makes events of this engine.
    """

    def __init__(self, config: PluginOptions) -> None:
        self.origin = EventFactory(config.PLUGIN, config.role_arn)
        self._counters = {kind: Counter() for kind in KINDS}
        self.hook: Callable[[Event], object] | None = config.on_event
        self._option = config.named("on_event")
        self._failures = Counter()

    @property
    def counts(self) -> dict[Kind, int]:
        """How many events there were of each kind."""
        return {kind: counter.value for kind, counter in self._counters.items()}

    def report(
        self, kind: Kind, now: float, level: int, text: str, *args: object, **about: Any
    ) -> None:
        """Report what has happened to this engine alone; see `EventFactory.event` and `publish`."""
        publish(self.origin.event(kind, now, **about), [self], level, text, *args)

    def count(self, event: Event) -> None:
        """Count an event."""
        next(self._counters[event.kind])

    def tell(self, event: Event) -> None:
        """Call the hook. An exception in it is logged once, and not raised."""
        if self.hook is None:
            return
        try:
            self.hook(event)
        except Exception:
            if next(self._failures) == 0:
                # By its name, as there may be anything in its repr.
                name = getattr(self.hook, "__qualname__", type(self.hook).__name__)
                logger.exception(
                    "%s=%s has failed; this is said once, and it goes on being called",
                    self._option,
                    name,
                )


def publish(
    event: Event, reporters: Iterable[EngineCounters], level: int, text: str, *args: object
) -> None:
    """Log an event, and hand it to those whom it concerns. Not to be called with a lock held.

    Args:
        event: the event.
        reporters: of the engines that it concerns. A hook that they share is told once.
        level: of the log record.
        text: of the log record.
        *args: of the log record.
    """
    if logger.isEnabledFor(level):
        logger.log(level, text, *args, extra={ATTRIBUTE: event.as_dict()}, stacklevel=3)
    told: list[object] = []
    for reporter in reporters:
        reporter.count(event)
        if reporter.hook not in told:
            told.append(reporter.hook)
            reporter.tell(event)


class Dispatcher:
    """Reports what happens to one identity, to all engines that share it.

    Args:
        config: the options of an engine of that identity, which say whose the events are.
        what: what is fetched, in messages.
        level: of the log record for a first failure. Below WARNING it is no outage: there need not
            be what is fetched.
    """

    def __init__(
        self, config: PluginOptions, what: str = CREDENTIALS, level: int = logging.WARNING
    ) -> None:
        self._origin = EventFactory(config.PLUGIN, config.role_arn)
        self._what = what
        self._level = level
        self._reporters = weakref.WeakValueDictionary[int, EngineCounters]()

    def subscribe(self, reporter: EngineCounters) -> None:
        """Report to this one, too, as long as it lives."""
        self._reporters[id(reporter)] = reporter

    def fetched(self, now: float, cached: Cached, ended: Outage | None) -> None:
        """Report that a fetch has succeeded, and which outage that has ended."""
        what = self._what
        self._publish(self._event("renewed", now, cached), logging.DEBUG, "%s fetched", what)
        if ended is not None:
            event = self._event("outage_ended", now, cached, ended)
            text = "%s renewed after %d failed fetches"
            self._publish(event, logging.INFO, text, what, ended.failures)

    def failed(self, now: float, cached: Cached | None, outage: Outage) -> None:
        """Report that a fetch has failed, if it is the first."""
        if outage.failures == 1:
            event = self._event("outage_begun", now, cached, outage)
            error = on_one_line(outage.error)
            self._publish(event, self._level, "%s could not be fetched: %s", self._what, error)

    def _event(
        self, kind: Kind, now: float, cached: Cached | None, outage: Outage | None = None
    ) -> Event:
        more: dict[str, Any] = {"what": self._what}
        if outage is not None:
            more |= {"failures": outage.failures, "outage_age": now - outage.began_at}
            more["error"] = str(outage.error)
        return self._origin.event(kind, now, cached=cached, **more)

    def _publish(self, event: Event, level: int, text: str, *args: object) -> None:
        if event.failures and self._level < logging.WARNING:
            logger.log(level, text, *args)
            return
        # Weak references come as a list at once, and so without a lock.
        found = [reporter() for reporter in self._reporters.valuerefs()]
        publish(event, [each for each in found if each is not None], level, text, *args)
