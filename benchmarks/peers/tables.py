"""The tables, charts and verdicts of ``peers.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from benchmarks.lib import charts, emulated, measure, spread
from benchmarks.lib.charts import Axis, Bar
from benchmarks.peers.parts import BUNDLE, ONE, STS_SECONDS, THREADS, Row, null_of
from benchmarks.peers.ways import AGAIN, PASSWORD, PLUGIN, READY

DEARER = 1.1
"""The most CPU time that the plugin may take, in those of a ready token, with one CA."""

READ_ON_EACH = ("psycopg", "psycopg2")
"""Drivers that read the CA file on each connect, where the plugin has to win with the bundle."""

NONE = "-"

_COST = f"""Client CPU time of a new connection, verify-full. In brackets: 95 % intervals.
"{AGAIN}" is the same engine in another process: what differs by less does not differ."""


def verdicts(results: Mapping[str, Any]) -> dict[str, str]:
    """What became of each target, by its words. One that was not measured is left out."""
    found = {}
    rows = results.get("cost", [])
    by_key = {(row["driver"], row["way"], row["ca_file"]): row for row in rows}
    for driver in dict.fromkeys(row["driver"] for row in rows):
        mine = by_key.get((driver, PLUGIN, ONE))
        if mine is not None and mine["times"] is not None:
            null = null_of(rows, driver, ONE)
            words = f"{driver} with one CA: at most {DEARER:g} times the CPU of a ready token"
            found[words] = spread.verdict(mine["times"], DEARER, null, "less")
        mine = by_key.get((driver, PLUGIN, BUNDLE))
        others = [
            row["ms"]
            for row in rows
            if (row["driver"], row["ca_file"]) == (driver, BUNDLE) and _is_peer(row["way"])
        ]
        if driver in READ_ON_EACH and mine is not None and others:
            null = null_of(rows, driver, BUNDLE)
            words = f"{driver} with the bundle: less CPU than every peer"
            found[words] = spread.verdict(mine["ms"], min(others), null, "less")
    for row in results.get("storm", []):
        if row["way"] == PLUGIN:
            words = f"{row['driver']} in the storm: none lost"
            found[words] = spread.MISSED if row["lost"] else spread.KEPT
    return found


def met(found: Mapping[str, str]) -> bool:
    """Whether no target is missed."""
    return spread.MISSED not in found.values()


def text(results: Mapping[str, Any]) -> str:
    """All of it in Markdown."""
    blocks = [_peers(results)]
    blocks += [words(results) for part, words in _PARTS.items() if results.get(part)]
    targets = "\n".join(f"- {words}: {verdict}." for words, verdict in results["verdicts"].items())
    return "\n\n".join(block for block in (*blocks, targets and f"Targets:\n\n{targets}") if block)


def headline(results: Mapping[str, Any]) -> str:
    """The result in a sentence."""
    said = [each for each in (_cost_title(results), _storm_title(results)) if each]
    return "; ".join([*said[:1], *(each[0].lower() + each[1:] for each in said[1:])])


def pictures(results: Mapping[str, Any]) -> dict[str, str]:
    """The charts, by name."""
    drawn = {}
    if results.get("cost"):
        drawn["peers"] = _cost_chart(results)
    if results.get("storm"):
        drawn["peers-storm"] = _storm_chart(results)
    return drawn


def _peers(results: Mapping[str, Any]) -> str:
    installed = [
        (environment, ", ".join(f"{name} {number}" for name, number in versions.items()))
        for environment, versions in results["versions"].items()
    ]
    blocks = [measure.table(("environment", "pinned to"), installed)] if installed else []
    if results["failed"]:
        blocks.append(measure.table(("left out", "because"), list(results["failed"].items())))
    return "\n\n".join(blocks)


def _cost_table(results: Mapping[str, Any]) -> str:
    rows = results["cost"]
    names = list(dict.fromkeys(row["ca_file"] for row in rows))
    head = ["driver", "way"]
    for name in names:
        head += [f"{name}: CPU ms", "quartiles", "times a ready token"]
    lines = []
    for driver, way in dict.fromkeys((row["driver"], row["way"]) for row in rows):
        line = [driver, way]
        for name in names:
            line += _cells(rows, driver, way, name)
        lines.append(line)
    return f"{_COST}\n\n{measure.table(head, lines)}"


def _cells(rows: Iterable[Row], driver: str, way: str, name: str) -> list[str]:
    for row in rows:
        if (row["driver"], row["way"], row["ca_file"]) == (driver, way, name):
            times = NONE if row["times"] is None else str(spread.Interval(*row["times"]))
            return [*_quartiles(row, "ms", "low_ms", "high_ms"), times]
    return [NONE] * 3


def _network_table(results: Mapping[str, Any]) -> str:
    head = f"A new connection over a round trip of {results['round_trip_ms']:g} ms, one CA."
    return (
        head
        + "\n\n"
        + measure.table(
            ("driver", "way", "ms", "quartiles", "times a ready token"),
            [
                (
                    row["driver"],
                    row["way"],
                    *_cells([row], row["driver"], row["way"], row["ca_file"]),
                )
                for row in results["network"]
            ],
        )
    )


def _rate_table(results: Mapping[str, Any]) -> str:
    head = (
        f"Connections a second of {THREADS} threads, without a limit (the plugin with "
        "rds_iam_connect_rate=0).\nThe emulator's own maximum: "
        f"{results['emulator_maximum']:.0f} logins a second."
    )
    return (
        head
        + "\n\n"
        + measure.table(
            ("driver", "way", "CA file", "per second", "quartiles", "lost"),
            [
                (
                    *(row["driver"], row["way"], row["ca_file"]),
                    *_quartiles(row, "per_second", "low", "high", ".0f"),
                    str(row["lost"]),
                )
                for row in results["rate"]
            ],
        )
    )


def _storm_table(results: Mapping[str, Any]) -> str:
    rows = results["storm"]
    head = f"{rows[0]['wanted']} connects at once. {emulated.limits(results)}"
    return (
        head
        + "\n\n"
        + measure.table(
            ("driver", "way", "let in", "lost", "refused", "seconds", "times ideal"),
            [
                (
                    *(row["driver"], row["way"]),
                    *(str(row[name]) for name in ("let_in", "lost", "refused")),
                    f"{row['seconds']:.2f}",
                    NONE if row["times_ideal"] is None else f"{row['times_ideal']:.2f}",
                )
                for row in rows
            ],
        )
    )


def _gap_table(results: Mapping[str, Any]) -> str:
    head = (
        f"The longest gap of an event loop in the first connect, STS answering after "
        f"{STS_SECONDS:g} s; medians."
    )
    return (
        head
        + "\n\n"
        + _numbers(
            results["gap"],
            {
                "gap_ms": "gap ms",
                "idle_ms": "idle gap ms",
                "create_ms": "create_engine ms",
                "connect_ms": "connect ms",
            },
        )
    )


def _start_table(results: Mapping[str, Any]) -> str:
    head = (
        "From an application without AWS to its first connection, keys in the environment, in "
        "fresh processes; medians."
    )
    names = {"cpu_ms": "CPU ms", "wall_ms": "ms", "memory_mib": "MiB grown"}
    return head + "\n\n" + _numbers(results["start"], names)


def _numbers(rows: Iterable[Row], names: Mapping[str, str]) -> str:
    return measure.table(
        ("driver", "way", *names.values()),
        [(row["driver"], row["way"], *(f"{row[name]:.1f}" for name in names)) for row in rows],
    )


def _quartiles(row: Row, middle: str, low: str, high: str, form: str = ".2f") -> tuple[str, str]:
    return spread.Quartiles(row[low], row[middle], row[high]).columns(form)


def _cost_chart(results: Mapping[str, Any]) -> str:
    rows = results["cost"]
    groups: dict[str, dict[str, float | Bar]] = {}
    for row in rows:
        # One driver is enough to be seen at a glance; the table has the others.
        if row["way"] != AGAIN and row["driver"] == rows[0]["driver"]:
            bar = Bar(row["ms"], row["low_ms"], row["high_ms"])
            group = groups.setdefault(f"{row['driver']}, {row['ca_file']}", {})
            group[_shown(row["way"])] = bar
    axis = Axis("milliseconds of the client's CPU for a connect", better="less")
    return charts.bars(_cost_title(results) or "A new connection", axis, groups)


def _cost_title(results: Mapping[str, Any]) -> str:
    """How the plugin compares with the best of the peers where the CA file matters most."""
    found = {
        row["way"]: row["ms"]
        for row in results.get("cost", [])
        if (row["driver"], row["ca_file"]) == ("psycopg", BUNDLE)
    }
    peers = {way: ms for way, ms in found.items() if _is_peer(way)}
    if PLUGIN not in found or not peers:
        return ""
    best = min(peers, key=peers.__getitem__)
    share = found[PLUGIN] / peers[best]
    return f"With Amazon's bundle a connect takes {share:.2f} of the best peer's CPU ({best})"


def _storm_chart(results: Mapping[str, Any]) -> str:
    rows = results["storm"]
    groups: dict[str, dict[str, float | Bar]] = {}
    for row in rows:
        bar = Bar(row["let_in"], lost=row["lost"])
        groups.setdefault(row["driver"], {})[_shown(row["way"])] = bar
    axis = Axis("connects that were let in, and red: lost", least=rows[0]["wanted"])
    return charts.bars(_storm_title(results) or "Connects at once", axis, groups)


def _storm_title(results: Mapping[str, Any]) -> str:
    rows = results.get("storm", [])
    mine = [row["lost"] for row in rows if row["way"] == PLUGIN]
    others = [row["lost"] / row["wanted"] for row in rows if _is_peer(row["way"])]
    if not mine or not others:
        return ""
    return (
        f"Of {rows[0]['wanted']} connects at once the plugin loses {mine[0] or 'none'}, "
        f"peers {min(others):.0%} to {max(others):.0%}"
    )


def _is_peer(way: str) -> bool:
    return way not in {PLUGIN, READY, AGAIN, PASSWORD}


def _shown(way: str) -> str:
    return "plugin" if way == PLUGIN else way


_PARTS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "cost": _cost_table,
    "network": _network_table,
    "rate": _rate_table,
    "storm": _storm_table,
    "gap": _gap_table,
    "start": _start_table,
}
