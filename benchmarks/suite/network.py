"""What a network with a round trip makes of a new connection, and of the first use of an engine.

A proxy passes everything on after half of the round trip. It counts the round trips that a client
waits for, TCP's handshake included, which unlike times are the same on every machine.

New connections, one at a time, through the proxy, 0 and 20 ms away:

static              no plugin: a token that was signed beforehand, and TLS that verifies the name
plugin              ?plugin=rds_iam
plugin, no NODELAY  pg8000 with the socket option that the plugin sets, TCP_NODELAY, off again

The server "P-256" agrees on keys as PostgreSQL up to 17 does by default (ssl_ecdh_curve is
prime256v1): it answers the first hello of a client that bets on another curve by the request for a
second one (HelloRetryRequest), which is seen in the clear. "any" agrees on what OpenSSL knows.

First use of an engine: a checkout, SELECT 1, and the connection back in its pool, with SQLAlchemy's
defaults and with the settings that the page on AWS Lambda names, 20 ms away.

Targets: with no driver does the plugin add a round trip to those of "static"; pg8000 connects at
least four times as fast with the socket option as without it, 0 ms away.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from sqlalchemy import Engine
from sqlalchemy.pool import NullPool

from benchmarks.lib import charts, delayed, emulated, first_use, measure, spread
from benchmarks.lib.drivers import DRIVERS

ROUND_TRIP = 0.02
NEAR, FAR = 0.0, ROUND_TRIP
FASTER = 4.0
"""How many times as fast pg8000 has to connect with TCP_NODELAY."""

STALLING = "plugin, no NODELAY"
CURVES = {"any": None, "P-256": "prime256v1"}


class Sample(NamedTuple):
    """One connection: seconds by the clock, round trips, and HelloRetryRequests among them."""

    seconds: float
    round_trips: int
    hello_retries: int


Samples = dict[tuple[str, str, float], list[Sample]]
"""By server, way and distance."""


def main() -> int:
    """Measure, print, and say whether the targets are met."""
    given = measure.parser(str(__doc__), rounds=9, driver=DRIVERS).parse_args()
    connects: list[dict[str, Any]] = []
    engines: list[dict[str, Any]] = []
    faster: spread.Interval | None = None
    with (
        emulated.Emulators(given.driver or DRIVERS, reuse=False) as emulators,
        asyncio.Runner() as runner,
    ):
        for driver in emulators.drivers:
            with delayed.site(driver, emulators.of(driver), runner) as site:
                samples = _connects(site, given.rounds)
                connects += _rows(driver, samples)
                faster = _faster(samples) or faster
                engines.append(_first_use(site, (given.rounds + 2) // 3))
    missed = any(row["added_round_trips"] for row in connects) or _verdict(faster) == spread.MISSED
    results = {
        "benchmark": "network",
        "rounds": given.rounds,
        "round_trip_ms": ROUND_TRIP * 1e3,
        "pg8000_times_as_fast": faster,
        "within_target": not missed,
        "results": connects,
        "first_use": engines,
    }
    return measure.finish(given, results, headline, text, pictures)


def _connects(site: delayed.Site, rounds: int) -> Samples:
    """New connections in every way, to either kind of server, near and far."""
    with ExitStack() as undo:
        engines = {"static": site.static(), "plugin": site.plugin(poolclass=NullPool)}
        if site.driver == "pg8000":
            module = _Stalling(engines["plugin"].dialect.dbapi)
            engines[STALLING] = site.plugin(poolclass=NullPool, module=module)
        for engine in engines.values():
            undo.callback(site.run, engine.dispose)
            # The first connect brings what only the first one costs: imports, the dialect.
            site.run(functools.partial(_connect_once, engine))
        undo.callback(site.rds.curve, None)
        # Only PostgreSQL has a curve of its own by default.
        servers = CURVES if DRIVERS[site.driver].engine == "postgresql" else ["any"]
        keys = {
            f"{server}, {way}, {distance:g} s away": (server, way, distance)
            for server in servers
            for way in engines
            for distance in (NEAR, FAR)
        }
        cases = {
            name: _case(site, engines[way], CURVES[server], distance)
            for name, (server, way, distance) in keys.items()
        }
        found = measure.interleave(cases, rounds, label=site.driver)
    return {keys[name]: taken for name, taken in found.items()}


def _connect_once(engine: Engine) -> None:
    engine.raw_connection().close()


def _case(
    site: delayed.Site, engine: Engine, curve: str | None, distance: float
) -> Callable[[], Sample]:
    def connect() -> Sample:
        began = time.perf_counter()
        connection = engine.raw_connection()
        seconds = time.perf_counter() - began
        [seen] = site.proxy.seen()  # before its end is among it
        connection.close()
        return Sample(seconds, *seen)

    def case() -> Sample:
        site.rds.curve(curve)
        site.proxy.start_over(distance)
        sample: Sample = site.run(connect)
        return sample

    return case


class _Stalling:
    """pg8000, whose connections wait until what they sent before is acknowledged."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def Connection(self, *args: Any, sock: socket.socket, **kwargs: Any) -> Any:  # noqa: N802
        """See pg8000."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        return self._module.Connection(*args, sock=sock, **kwargs)


def _rows(driver: str, samples: Samples) -> list[dict[str, Any]]:
    found = []
    for server, way in dict.fromkeys(key[:2] for key in samples):
        near, far = samples[server, way, NEAR], samples[server, way, FAR]
        count = first_use.fewest(each.round_trips for each in far)
        static = first_use.fewest(each.round_trips for each in samples[server, "static", FAR])
        found.append(
            {
                "driver": driver,
                "server": server,
                "way": way,
                "round_trips": count,
                "added_round_trips": count - static,
                "hello_retries": first_use.fewest(each.hello_retries for each in far),
                "near_ms": spread.quartiles([each.seconds for each in near]).times(1e3),
                "far_ms": spread.quartiles([each.seconds for each in far]).times(1e3),
            }
        )
    return found


def _faster(samples: Samples) -> spread.Interval | None:
    """How many times as fast pg8000 connects with the socket option as without it."""
    slow = samples.get(("any", STALLING, NEAR))
    if slow is None:
        return None
    fast = samples["any", "plugin", NEAR]
    return spread.ratio([each.seconds for each in slow], [each.seconds for each in fast])


def _verdict(faster: Sequence[float] | None) -> str:
    if faster is None or faster[1] >= FASTER:
        return spread.KEPT
    return spread.WITHIN_NOISE if faster[2] >= FASTER else spread.MISSED


def _first_use(site: delayed.Site, rounds: int) -> dict[str, Any]:
    """The first use of an engine and later ones, with the defaults and with the settings."""

    def use(arguments: dict[str, Any]) -> list[first_use.Use]:
        site.proxy.start_over(ROUND_TRIP)
        engine = site.plugin(pool_size=1, **arguments)
        try:
            found: list[first_use.Use] = site.run(lambda: first_use.uses(engine, site.proxy))
        finally:
            site.run(engine.dispose)
        return found

    cases = {
        way: functools.partial(use, arguments)
        for way, arguments in first_use.ways(site.driver).items()
    }
    label = f"{site.driver}, first use"
    return first_use.row(site.driver, measure.interleave(cases, rounds, label=label))


def headline(results: Mapping[str, Any]) -> str:
    """The result in a sentence."""
    counts = [
        (row["first"]["defaults"]["round_trips"], row["first"]["settings"]["round_trips"])
        for row in results["first_use"]
        if "settings" in row["first"]
    ]
    usual, saving = max(counts, key=lambda pair: pair[0] - pair[1], default=(0, 0))
    return (
        f"An engine's first query, {results['round_trip_ms']:g} ms away: settings save up to "
        f"{usual - saving} of {usual} round trips"
    )


def pictures(results: Mapping[str, Any]) -> dict[str, str]:
    """The chart of the results."""
    names = {"defaults": "defaults", "settings": "plugin, settings"}
    groups = {
        row["driver"]: {
            name: row["first"][way]["ms"] for way, name in names.items() if way in row["first"]
        }
        for row in results["first_use"]
    }
    axis = charts.Axis("milliseconds from nothing to its result", better="less")
    return {"network": charts.bars(headline(results), axis, groups)}


def text(results: Mapping[str, Any]) -> str:
    """The tables of the results, and the verdicts."""
    added = [row for row in results["results"] if row["added_round_trips"]]
    worst = ", ".join(f"{row['driver']} {row['added_round_trips']}" for row in added)
    verdicts = [f"No round trip more than without the plugin: {worst or 'kept'}."]
    if faster := results["pg8000_times_as_fast"]:
        verdicts.append(
            f"With TCP_NODELAY pg8000 connects {spread.Interval(*faster)} times as fast, 0 ms "
            f"away, and has to be {FASTER:g} times as fast: {_verdict(faster)}."
        )
    return "\n".join(
        (
            "New connections through the proxy, verify-full, one at a time: round trips, and",
            "milliseconds 0 and 20 ms away, medians and quartiles.",
            "",
            measure.table(
                (
                    *("driver", "server", "round trips", "HelloRetryRequest", "plugin adds"),
                    *("static, 0 ms", "plugin, 0 ms", "static, 20 ms", "plugin, 20 ms"),
                ),
                list(_lines(results["results"])),
            ),
            "",
            *verdicts,
            "",
            "Uses of an engine with the plugin, 20 ms away: round trips and milliseconds.",
            "",
            first_use.table(results["first_use"]),
        )
    )


def _lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """One line for each way with the plugin, beside what it is without."""
    static = {(row["driver"], row["server"]): row for row in rows if row["way"] == "static"}
    for row in rows:
        if row["way"] != "static":
            base = static[row["driver"], row["server"]]
            yield (
                row["driver"] + row["way"].removeprefix("plugin"),
                row["server"],
                *(str(row[name]) for name in ("round_trips", "hello_retries", "added_round_trips")),
                *(_times(each[far]) for far in ("near_ms", "far_ms") for each in (base, row)),
            )


def _times(quartiles: Sequence[float]) -> str:
    low, median, high = quartiles
    return f"{median:.1f} ({low:.1f}-{high:.1f})"


if __name__ == "__main__":
    measure.run(main)
