"""What the benchmarks share: interleaved runs, the command line, and what is saved.

Things that are to be compared are run in turns, A B C A B C …, so that whatever else the machine
does meets all of them alike.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from benchmarks.lib import facts, vega

T = TypeVar("T")

RESULTS = Path(__file__).parents[1] / "results"
"""Where the results are that the documents show."""

EXIT_CODES = "Exit codes: 0 all targets met, 1 a target missed, 2 wrong usage or no result."
TARGETS_MET, TARGET_MISSED, NO_RESULT = 0, 1, 2


class NoResult(Exception):  # noqa: N818  (what became of a benchmark, not an error of the code)
    """There is nothing to report; the text says why."""


_PROGRESS_SECONDS = 1.0
_NUMBERS = re.compile(r"(-?[\d.,]+(-[\d.,]+)?%?|-)?")
"""A cell that is a number, a span of numbers, or empty."""


def interleave(
    cases: Mapping[str, Callable[[], T]], rounds: int, *, label: str = ""
) -> dict[str, list[T]]:
    """Run every case once a round, and say on standard error how far that has come.

    Returns:
        What each case returned, in the order of the rounds.
    """
    results: dict[str, list[T]] = {name: [] for name in cases}
    told = float("-inf")
    for done in range(rounds):
        for name, run in cases.items():
            if time.monotonic() - told >= _PROGRESS_SECONDS:
                progress(f"{label} round {done + 1} of {rounds}: {name}".strip())
                told = time.monotonic()
            results[name].append(run())
    return results


def seconds_per_call(call: Callable[[], object], calls: int) -> float:
    """The mean time of one call in a row of them, in seconds."""
    repeat = range(calls)
    start = time.perf_counter()
    for _ in repeat:
        call()
    return (time.perf_counter() - start) / calls


def progress(message: str) -> None:
    """Print `message` on standard error, where it does not get in the way."""
    print(message, file=sys.stderr, flush=True)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose columns line up as plain text too; numbers to the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    numeric = [all(_NUMBERS.fullmatch(line[i]) for line in lines[1:]) for i in range(len(head))]
    lines.insert(
        1, ["-" * (w - right) + ":" * right for w, right in zip(widths, numeric, strict=True)]
    )
    return "\n".join(
        "| "
        + " | ".join(
            cell.rjust(w) if right else cell.ljust(w)
            for cell, w, right in zip(line, widths, numeric, strict=True)
        )
        + " |"
        for line in lines
    )


def span(quartiles: Sequence[float] | None, form: str) -> str:
    """The cell of a table with what the middle half of the values lies between; empty for None."""
    return "" if quartiles is None else f"{quartiles[0]:{form}}-{quartiles[-1]:{form}}"


def run(main: Callable[[], int]) -> NoReturn:
    """Run a benchmark and exit, so that no failure of it looks like a missed target."""
    try:
        sys.exit(main())
    except NoResult as error:
        progress(str(error))
    except Exception:  # noqa: BLE001  (whatever it was, it is printed and exits 2)
        traceback.print_exc()
    sys.exit(NO_RESULT)


def parser(description: str, *, rounds: int, **choices: Iterable[str]) -> argparse.ArgumentParser:
    """A command line with what every benchmark has: ``--rounds``, ``--json`` and ``--save``.

    Args:
        description: what it measures.
        rounds: by default.
        **choices: what can be chosen from by an option of that name, any number of times.
    """
    command = argparse.ArgumentParser(
        description=description,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--rounds", type=positive_integer, default=rounds, help="default: %(default)s"
    )
    command.add_argument("--json", action="store_true", help="print JSON on standard output")
    command.add_argument(
        "--save", type=Path, metavar="DIRECTORY", help="write results and charts there as well"
    )
    for name, known in choices.items():
        command.add_argument(
            f"--{name}", action="append", choices=tuple(known), help="repeatable; default all"
        )
    return command


def positive_integer(text: str) -> int:
    """An argument that counts something; argparse turns the error into a sentence."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number from 1 on")
    return number


def positive_number(text: str) -> float:
    """An argument that measures something; argparse turns the error into a sentence."""
    if not 0 < (number := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: expected a number above 0")
    return number


def percentile(values: Sequence[float], share: float) -> float:
    """The least of `values` that `share` of them are not above (the nearest-rank method).

    Args:
        values: at least one.
        share: from 0 to 1; 0.5 is the median.
    """
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def report(
    *,
    as_json: bool,
    results: Mapping[str, Any],
    text: str,
    save: Path | None = None,
    charts: Mapping[str, str] | None = None,
) -> None:
    """Print the results on standard output, with the facts that they depend on.

    Args:
        as_json: print all of it, for other programs.
        results: what was found; "benchmark" is its name.
        text: the same for people, in Markdown.
        save: directory to write all of it to, as NAME.json, NAME.md and SVG.
        charts: what `charts.bars` and `charts.lines` have returned, by the name of the file.
    """
    found = facts.found()
    whole = json.dumps({**results, "facts": found}, indent=2)
    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
        for kind, content in (("json", whole), ("md", text)):
            file = save / f"{results['benchmark']}.{kind}"
            file.write_text(content + "\n", encoding="utf-8")
        draw(charts or {}, save)
    if as_json:
        print(whole)
        return
    print(f"{facts.said(found)}\n\n{text}")


def finish(
    given: argparse.Namespace,
    results: Mapping[str, Any],
    headline: Callable[[Mapping[str, Any]], str],
    text: Callable[[Mapping[str, Any]], str],
    pictures: Callable[[Mapping[str, Any]], Mapping[str, str]],
) -> int:
    """Print and save the results as the command line says, and return the exit code.

    Args:
        given: what `parser` has parsed.
        results: what was found, all that the following need: so that they can be made again from
            what was saved, without measuring (`documents.redraw`). "benchmark" is its name, and
            "within_target" whether no target was missed.
        headline: the result in a sentence, for the summary and a chart's title.
        text: the tables and the verdict, in Markdown.
        pictures: the charts, by the names of their files.
    """
    report(
        as_json=given.json,
        results={**results, "headline": headline(results)},
        text=text(results),
        save=given.save,
        charts=pictures(results),
    )
    return TARGETS_MET if results["within_target"] else TARGET_MISSED


def draw(charts: Mapping[str, str], directory: Path) -> None:
    """Write charts as SVG; without the library that draws them say so, as results count more."""
    try:
        for name, chart in charts.items():
            (directory / f"{name}.svg").write_text(vega.draw(chart), encoding="utf-8")
    except ModuleNotFoundError as error:
        progress(f"charts are left out, as {error.name} is missing: pip install --group docs")
