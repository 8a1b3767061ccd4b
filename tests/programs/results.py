"""What the last run of each program found: ``results/NAME.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from programs.environments import STATE
from programs.metadata import Program

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Result:
    """A run that passed.

    Attributes:
        date: The day, as in ISO 8601.
        python: The version of Python.
        sqlalchemy: The version of SQLAlchemy.
        packages: The versions of the program's packages.
        drivers: The versions of the drivers.
        seconds: How long the job took, without what it waited for.
        megabytes: The size of the environment.
        logins: How many there were ``before`` and ``after`` the rollover.
        facts: What the job reported.
    """

    date: str
    python: str
    sqlalchemy: str
    packages: dict[str, str]
    drivers: dict[str, str]
    seconds: float
    megabytes: int
    logins: dict[str, int]
    facts: dict[str, Any] = field(default_factory=dict)


def read(name: str) -> Result | None:
    """The result of a program; None if it has never passed."""
    try:
        text = (RESULTS / f"{name}.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return Result(**json.loads(text))


def write(program: Program, result: Result, fingerprint: str) -> None:
    """Keep a result, and what it holds for."""
    text = json.dumps(asdict(result), indent=2) + "\n"
    (RESULTS / f"{program.name}.json").write_text(text, encoding="utf-8")
    _passed(program.name).parent.mkdir(parents=True, exist_ok=True)
    _passed(program.name).write_text(fingerprint, encoding="utf-8")


def holds(program: Program, fingerprint: str) -> bool:
    """Whether the program has passed here with the same job, package and versions."""
    try:
        known = _passed(program.name).read_text(encoding="utf-8") == fingerprint
    except FileNotFoundError:
        return False
    return known and read(program.name) is not None


def _passed(name: str) -> Path:
    return STATE / "passed" / name
