"""Where the connects of one engine go whose name stands for an endpoint, as of now."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._connecting.provider import ConnectPlan
from sqlalchemy_rds_iam._connecting.runtime import Runtime
from sqlalchemy_rds_iam._endpoints.cname import CnameResolver, is_alias


class Aliases:
    """Follows the CNAME records of names that are no endpoint's, if the options say so.

    Args:
        config: the options.
        runtime: how the engine waits.
        clock: epoch seconds.

    Raises:
        ConfigError: dnspython is not installed.
    """

    def __init__(self, config: PluginOptions, runtime: Runtime, clock: Callable[[], float]) -> None:
        self._config, self._runtime = config, runtime
        self._names = None
        if config.resolve_cname:
            self._names = CnameResolver(clock, plugin=config.PLUGIN)

    def has(self, host: Any) -> bool:
        """Whether `host` is a name to be followed.

        Raises:
            ConfigError: it is an IP address, which has no CNAME.
        """
        return self._names is not None and is_alias(host, self._config.PLUGIN)

    def plan(self, host: Any, deadline: float, settle: Callable[..., ConnectPlan]) -> ConnectPlan:
        """What connecting to `host` takes.

        Args:
            host: the name to connect to.
            deadline: until when to wait for DNS, on the monotonic clock.
            settle: makes the plan, of the options with the endpoint that it is called with, if any.

        Raises:
            WaitTimeout: DNS has not answered in time.
            RdsIamError: the name leads to no endpoint, or what `settle` raises.
        """
        names = self._names
        if names is None or not self.has(host):
            return settle()
        if (found := names.known(host)) is not None:
            return settle(found)
        remaining, memory = deadline - monotonic(), self._config.memory_of_failure
        late = f"where {host!r} leads ({self._config.named('timeout')})"
        return self._runtime.run(
            lambda: settle(names.look_up(host, remaining, memory)), remaining, late
        )

    def doubt(self, host: Any) -> None:
        """Have `host` looked up again soon, as a connect has failed: it may have been switched."""
        if self._names is not None:
            self._names.doubt(host)
