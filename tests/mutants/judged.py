"""The mutants that are known to be equivalent, and what is wrong with the list."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mutants.mutations import Mutant, on_line
from mutants.rooms import ROOT, Room
from mutants.runner import Result, Verdict

LIST = Path(__file__).parent / "equivalent.toml"

Key = tuple[str, str, str, str]


class Report(NamedTuple):
    """The results of a room.

    Attributes:
        room: its name.
        results: all that count.
        listed: the reasons why mutants are equivalent, by `Mutant.key`.
        errors: what is wrong with the list.
    """

    room: str
    results: list[Result]
    listed: dict[Key, str]
    errors: list[str]

    def count(self, verdict: Verdict) -> int:
        """How many came to this verdict."""
        return sum(result.verdict == verdict for result in self.results)

    @property
    def survivors(self) -> list[Mutant]:
        """Those that survived, and are not listed."""
        return [mutant for mutant in self._survived() if mutant.key not in self.listed]

    @property
    def equivalent(self) -> list[Mutant]:
        """Those that survived, and are listed."""
        return [mutant for mutant in self._survived() if mutant.key in self.listed]

    @property
    def score(self) -> float:
        """The percentage that was killed, of those that are not equivalent."""
        noticed = self.count("killed") + self.count("timed out")
        judged = noticed + len(self.survivors)
        return 100 * noticed / judged if judged else 100.0

    def _survived(self) -> list[Mutant]:
        return [mutant for mutant, verdict in self.results if verdict == "survived"]


def judge(room: Room, results: Iterable[Result]) -> Report:
    """Compare results with the list."""
    listed = _listed(room)
    errors = [
        f"{LIST.name}: {file} has no such mutant: {where}: {before} → {after}"
        for file, where, before, after in _stale(listed)
    ]
    found = [result for result in results if result.verdict != "not imported"]
    survived = {mutant.key for mutant, verdict in found if verdict == "survived"}
    errors += [
        f"{mutant.file}:{mutant.line} is listed as equivalent, but is killed: {mutant.after}"
        for mutant, verdict in found
        if verdict == "killed" and mutant.key in listed and mutant.key not in survived
    ]
    return Report(room.name, found, listed, errors)


def _listed(room: Room) -> dict[Key, str]:
    entries = tomllib.loads(LIST.read_text("utf-8")).get("mutant", [])
    files = set(room.files())
    for entry in entries:
        assert (ROOT / entry["file"]).exists(), f"{LIST.name}: {entry['file']} is gone"
        assert entry["reason"], f"{LIST.name}: why is {entry['after']!r} equivalent?"
    return {
        (entry["file"], entry["where"], entry["before"], entry["after"]): entry["reason"]
        for entry in entries
        if entry["file"] in files
    }


def _stale(listed: Iterable[Key]) -> list[Key]:
    return [key for key in listed if all(mutant.key != key for mutant in on_line(key[0], key[2]))]
