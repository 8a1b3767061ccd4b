"""What is to be said of a fleet's connects: verdicts, a table and a chart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from benchmarks.lib import charts, emulated, measure

USED = {"congestion control": 0.80, "shared store": 0.95, "store killed": 0.0}
"""The least share of the ceiling that is to be used; none may be lost."""

REFUSED = {"shared store": 0.001}
"""From how many refused logins on, as a share of the connects, the target is missed."""

AGREEMENT = 0.10

_SAID = {
    "nothing": "without turns",
    "congestion control": "without a store",
    "shared store": "with a store",
    "patient deployment": "a patient deployment",
}
"""The ways that the sentence tells, and what it calls them."""

LOST = {"patient deployment": 0.005}
"""The share of the connects that may be lost."""


def agree(measured: dict[str, Any], simulated: dict[str, Any], wanted: int) -> bool:
    """Whether the simulation is as near to what was measured as it has to be."""
    if abs(measured["median_lost"] - simulated["lost"]) > AGREEMENT * wanted:
        return False
    # Where many are lost at once, how long that took says nothing about the ceiling; nor does the
    # last of many first logins, whose pauses are random.
    return bool(
        measured["way"] in {*LOST, "deployment"}
        or measured["median_lost"] > AGREEMENT * wanted
        or abs(measured["used"] - simulated["used"]) <= AGREEMENT
    )


def is_full(row: Mapping[str, Any], maximum: float) -> bool:
    """Whether there were about as many logins as the emulator can do, refused ones included.

    It makes them wait then, as no simulation does, so that fewer come at once and fewer are lost.
    """
    logins = row["wanted"] * (1 + row["refused"])
    return bool(logins > (1 - AGREEMENT) * maximum * row["seconds"])


def misses(row: dict[str, Any]) -> bool:
    """Whether a way has missed a target."""
    way = row["way"]
    if way in LOST:
        return bool(row["lost"] > LOST[way] * row["wanted"])
    return way in USED and bool(
        row["lost"] or row["used"] < USED[way] or row["refused"] >= REFUSED.get(way, math.inf)
    )


def headline(results: Mapping[str, Any]) -> str:
    """The result in a sentence."""
    said = [
        f"{_SAID[row['way']]} {row['lost'] / row['wanted']:.0%} lost"
        if row["lost"]
        else f"{_SAID[row['way']]} none lost, {row['used']:.0%} of the ceiling used"
        for row in results["results"]
        if row["way"] in _SAID
    ]
    return f"{results['processes']} processes connect at once: {'; '.join(said)}"


def pictures(results: Mapping[str, Any]) -> dict[str, str]:
    """The charts of the results."""
    lost = {row["way"]: f"{row['lost']:.0f} lost" for row in results["results"] if row["lost"]}
    return {
        "fleet": charts.lines(
            headline(results),
            charts.Axis("% of the ideal time", least=100.0),
            charts.Axis("% of the connects accepted (more is better)", least=100.0),
            {"ideal": [(0.0, 0.0), (100.0, 100.0)], **results["curves"]},
            notes=lost,
        )
    }


def text(results: Mapping[str, Any]) -> str:
    """The table of the results, and the verdict."""
    missed = [row["way"] for row in results["results"] if misses(row)]
    columns = {"lost": ".0f", "refused": ".2%", "seconds": ".2f", "used": ".1%"}
    rows = [
        (
            row["way"],
            str(row["wanted"]),
            *(_both(row, name, form) for name, form in columns.items()),
        )
        for row in results["results"]
    ]
    least = ", ".join(f"{share:.0%} with {way}" for way, share in USED.items() if share)
    verdict = "MISSED by " + ", ".join(missed) if missed else "kept"
    agreement = "agrees" if results["agrees"] else "DOES NOT AGREE"
    full = [row["way"] for row in results["results"] if is_full(row, results["emulator_maximum"])]
    aside = f" (not judged: {', '.join(full)}; there the emulator had all the logins it can do)"
    lines = [
        f"{results['processes']} processes. {emulated.limits(results)}",
        "Measured, and in brackets simulated:",
        "",
        measure.table(("way", "wanted", *columns), rows),
        "",
        f"None lost with {', '.join(USED)}; at least so much of the ceiling used: {least};",
        f"with a shared store less than {REFUSED['shared store']:.1%} refused, and in a patient",
        f"deployment at most {LOST['patient deployment']:.1%} lost: {verdict}.",
        f"The simulation {agreement}{aside if full else ''}.",
    ]
    return "\n".join(lines)


def _both(row: dict[str, Any], name: str, form: str) -> str:
    # Where most are lost at once, how long that took says nothing about the ceiling.
    if name in {"seconds", "used"} and row["median_lost"] > AGREEMENT * row["wanted"]:
        return "-"
    simulated = f" ({row['simulated'][name]:{form}})" if row["simulated"] else ""
    return f"{row[name]:{form}}{simulated}"
