"""Names that stand for an RDS endpoint: following their CNAME records, and remembering the end.

RDS accepts only tokens that were signed for its own endpoint names ("You cannot use a custom Route
53 DNS record instead of the DB instance endpoint to generate the authentication token", "IAM
database authentication" in the RDS user guide), and its certificates have no others.
Looking up blocks; `runtime` has threads for it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam._masking import on_one_line
from sqlalchemy_rds_iam._requirements import install, missing
from sqlalchemy_rds_iam.errors import ConfigError, RdsIamError, WaitTimeout

HOPS = 8
"""CNAME records that are followed; resolvers stop after as many or a few more."""

SHORTEST_MEMORY, LONGEST_MEMORY = 5.0, 300.0
"""Seconds that a result is used, whatever smaller or larger TTL its records have."""

PATIENCE = 3.0
"""Seconds that asking again may take while there is an older result to go on with."""

logger = logging.getLogger("sqlalchemy_rds_iam")


class Record(NamedTuple):
    """A CNAME record: the name it leads to, and the seconds it may be remembered."""

    target: str
    ttl: float


class DnsError(RdsIamError):
    """DNS did not say where a name leads, which does not mean that it leads nowhere."""

    retryable = True


Ask = Callable[[str, float], Record | None]
"""Ask for the CNAME record of a name, for a number of seconds; None if the name has none."""


def is_alias(host: Any, plugin: str = "rds_iam") -> bool:
    """Whether `host` is a name that no token can be signed for, while its CNAME may lead to one.

    Raises:
        ConfigError: it is an IP address, which has no CNAME.
    """
    kind = parse_host(host).kind if isinstance(host, str) else "none"
    if kind == "ip":
        raise ConfigError(
            f"{plugin}_resolve_cname=on, but the host {host!r} is an IP address, which has no "
            f"CNAME record: name the endpoint with {plugin}_host instead"
        )
    return kind == "other"


def ask_dns(name: str, seconds: float) -> Record | None:
    """Ask dnspython's default resolver; an `Ask`.

    A `name` without a trailing dot is looked for in the search list as well, as drivers do.
    dnspython's pauses between attempts, 0.1 s first and never more than 2 s, may come on top of
    `seconds`.

    Raises:
        WaitTimeout: no answer in time.
        DnsError: the servers failed or cannot be reached.
        RdsIamError: the name does not exist, or is no name.
    """
    import dns.exception  # takes tens of milliseconds, so off the loop
    import dns.resolver

    try:
        answer = dns.resolver.resolve(name, "CNAME", lifetime=seconds, search=True)
    except dns.resolver.NoAnswer:
        return None
    except dns.resolver.NXDOMAIN as error:
        raise RdsIamError(
            f"{name!r} does not exist (NXDOMAIN); it is DNS alone that is asked, no hosts file"
        ) from error
    except dns.exception.Timeout as error:
        raise WaitTimeout(f"DNS did not answer for {name!r} in time ({error})") from error
    except (dns.resolver.NoNameservers, dns.resolver.NoResolverConfiguration) as error:
        raise DnsError(f"DNS cannot answer for {name!r} ({error})") from error
    except (dns.exception.DNSException, UnicodeError) as error:
        raise RdsIamError(f"{name!r} cannot be looked up ({error!r})") from error
    rrset: Any = answer.rrset
    return Record(str(rrset[0]), float(rrset.ttl))


def follow(alias: str, ask: Callable[[str], Record | None], plugin: str = "rds_iam") -> Record:
    """Follow CNAME records from `alias` to the first RDS endpoint name, and no further.

    What lies beyond that is AWS's own ``ec2-….compute.amazonaws.com``, which nothing is signed for.

    Args:
        alias: a name that is no RDS endpoint name.
        ask: asks for the one CNAME record of a name.
        plugin: whose options errors name.

    Returns:
        The endpoint name, and the smallest TTL on the way.

    Raises:
        RdsIamError: the records end elsewhere, turn in a circle or are too many; or what `ask`
            raises.
    """
    path, ttl, name = [parse_host(alias).host], LONGEST_MEMORY, alias
    while len(path) <= HOPS:
        try:
            record = ask(name)
        except RdsIamError as error:
            raise type(error)(f"cannot follow the CNAME records of {alias!r}: {error}") from error
        if record is None:
            reason = f"{path[-1]!r} has no CNAME record and is no RDS endpoint name"
            raise _lost(path, reason, plugin)
        name, ttl = record.target, min(ttl, record.ttl)
        found = parse_host(name)
        if found.partition is not None:
            return Record(found.host, ttl)
        path.append(found.host)
        if found.host in path[:-1]:
            raise _lost(path, "they turn in a circle", plugin)
    raise _lost(path, f"no RDS endpoint name within {HOPS} records", plugin)


class _Entry(NamedTuple):
    endpoint: str | None
    asked_at: float
    ask_at: float
    error: RdsIamError | None = None


class CnameResolver:
    """The endpoints that aliases stand for. Serves any number of threads without a lock.

    An entry is replaced as a whole, so the worst that a race can do is a question asked twice; and
    there is nothing that a fork could leave locked.

    Args:
        clock: epoch seconds. Wall clock, because a frozen process's monotonic clock stands still.
        ask: asks for one CNAME record.
        plugin: whose options errors name.

    Raises:
        ConfigError: dnspython is not installed.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        ask: Ask = ask_dns,
        plugin: str = "rds_iam",
    ) -> None:
        if missing("dns"):
            raise ConfigError(
                f"{plugin}_resolve_cname=on needs the dnspython package: {install('dns')}"
            )
        self.clock = clock
        self._ask, self._plugin = ask, plugin
        self._entries: dict[str, _Entry] = {}

    def known(self, alias: str) -> str | None:
        """The endpoint of `alias` if it need not be looked up by the caller. Never blocks.

        Of several callers one gets None and has to look up; the others go on with an older result.

        Raises:
            RdsIamError: looking up failed a moment ago.
        """
        entry = self._entries.get(alias)
        if entry is None:
            return None
        now = self.clock()
        if not entry.asked_at <= now < entry.ask_at:
            if entry.endpoint is not None:
                self._entries[alias] = entry._replace(asked_at=now, ask_at=now + PATIENCE)
            return None
        if entry.endpoint is None and entry.error is not None:
            # A new error, as a shared one would gather the tracebacks of all callers it reaches.
            raise type(entry.error)(str(entry.error)) from entry.error
        return entry.endpoint

    def look_up(self, alias: str, timeout: float, failure_ttl: float) -> str:
        """Ask DNS which endpoint `alias` stands for. Blocks.

        When DNS fails, an older result stays good: an outage of DNS does not take the database
        away. When DNS answers, the answer counts.

        Args:
            alias: the name to start from.
            timeout: seconds to wait at the most.
            failure_ttl: seconds that a failure stands for the next look-up.

        Raises:
            WaitTimeout: no answer in time.
            RdsIamError: the name leads to no RDS endpoint, or DNS failed.
        """
        older = self._entries.get(alias)
        if older is not None and older.endpoint is not None:
            timeout = min(timeout / 2, PATIENCE)  # some is left for going on with it
        deadline = time.monotonic() + timeout
        try:
            ask = lambda name: self._ask(name, deadline - time.monotonic())  # noqa: E731
            found = follow(alias, ask, self._plugin)
        except RdsIamError as error:
            now, older = self.clock(), self._entries.get(alias)
            kept = older.endpoint if older and error.retryable else None
            self._entries[alias] = _Entry(kept, now, now + failure_ttl, error)
            if older is None or kept is None:
                raise
            if older.error is None:
                said = kept, on_one_line(alias), on_one_line(error)
                logger.warning("going on with %s for %s, as %s", *said)
            return kept
        now, older = self.clock(), self._entries.get(alias)
        memory = min(max(found.ttl, SHORTEST_MEMORY), LONGEST_MEMORY)
        self._entries[alias] = _Entry(found.target, now, now + memory)
        if older is None or older.endpoint != found.target:
            logger.info("%s stands for %s", on_one_line(alias), found.target)
        return found.target

    def doubt(self, alias: str) -> None:
        """Have `alias` looked up again soon, as a connect has failed: it may have been switched."""
        entry = self._entries.get(alias)
        if entry is not None and entry.endpoint is not None:
            soon = min(entry.ask_at, entry.asked_at + SHORTEST_MEMORY)
            self._entries[alias] = entry._replace(ask_at=soon)


def _lost(path: list[str], reason: str, plugin: str) -> RdsIamError:
    return RdsIamError(
        f"the CNAME records of {path[0]!r} lead to no RDS endpoint: {reason} "
        f"(found {' → '.join(path)}). Set {plugin}_host to the endpoint's own name"
    )
