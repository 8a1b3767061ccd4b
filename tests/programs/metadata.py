"""What a job says about its program: the inline metadata of its script, as in PEP 723."""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

JOBS = Path(__file__).parent / "jobs"
GROUPS = (
    "Migrations",
    "Web",
    "Workers",
    "Data",
    "Machine learning",
    "Orchestration",
    "Notebooks",
)
"""The sections of the page, in their order."""

_BLOCK = re.compile(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


class BadJob(ValueError):  # noqa: N818 - it is what the job is
    """A job's metadata is not as it should be."""


@dataclass(frozen=True)
class Program:
    """One program and its job.

    Attributes:
        name: The job's file, without its suffix.
        about: The first line of the job's docstring: what it does.
        requires_python: The Pythons that it runs on.
        dependencies: What is installed, beside the project.
        title: How the program is called.
        url: Its home.
        group: One of `GROUPS`.
        packages: The distributions whose versions are shown.
        drivers: The drivers it was run with, as ``dialect+driver``; of one family of databases.
        write: What to write, and where; Markdown.
        limits: What does not work, and what to do instead; Markdown.
        works: False where the job proves that the program does not work.
        databases: Those it needs; each is empty, and the user ``app`` owns it.
        extensions: Those of PostgreSQL that a superuser has created in each; the wheel has them.
        env: More environment.
        minutes: How long it may take, without what it waits for.
    """

    name: str
    about: str
    requires_python: str
    dependencies: tuple[str, ...]
    title: str
    url: str
    group: str
    packages: tuple[str, ...]
    drivers: tuple[str, ...]
    write: str = ""
    limits: str = ""
    works: bool = True
    databases: tuple[str, ...] = ("app",)
    extensions: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    minutes: float = 5.0

    @property
    def path(self) -> Path:
        """The job's file."""
        return JOBS / f"{self.name}.py"

    @property
    def family(self) -> str:
        """Its database: ``postgresql`` or ``mysql``."""
        return "mysql" if self.drivers[0].startswith(("mysql", "mariadb")) else "postgresql"


def programs() -> list[Program]:
    """All there are, in the order of the page."""
    found = [load(path) for path in JOBS.glob("*.py") if path.stem != "job"]
    return sorted(found, key=lambda each: (GROUPS.index(each.group), each.title.casefold()))


def load(path: Path) -> Program:
    """Read one job.

    Raises:
        BadJob: Its metadata lacks something, or has something that is not known.
    """
    text = path.read_text(encoding="utf-8")
    found = _BLOCK.search(text)
    if found is None:
        raise BadJob(f"{path}: no block of metadata, which begins with '# /// script'")
    lines = found["content"].splitlines()
    try:
        script = tomllib.loads("\n".join(line[2:] for line in lines))
    except tomllib.TOMLDecodeError as error:
        raise BadJob(f"{path}: {error}") from error
    given: dict[str, Any] = script.get("tool", {}).get("program", {})
    about = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    given |= {
        "name": path.stem,
        "about": about,
        "requires_python": script.get("requires-python", ""),
        "dependencies": script.get("dependencies", []),
    }
    unknown = given.keys() - {field.name for field in fields(Program)}
    if unknown:
        raise BadJob(f"{path}: [tool.program] does not know {', '.join(sorted(unknown))}")
    try:
        program = Program(**{key: _frozen(value) for key, value in given.items()})
    except TypeError as error:
        raise BadJob(f"{path}: [tool.program]: {error}") from error
    _check(program)
    return program


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple(sorted(value.items()))
    if isinstance(value, str):
        return value.strip()
    return tuple(value) if isinstance(value, list) else value


def _check(program: Program) -> None:
    families = {each.partition("+")[0].replace("mariadb", "mysql") for each in program.drivers}
    for bad, what in (
        (program.group not in GROUPS, f"group is {program.group!r}: one of {', '.join(GROUPS)}"),
        (not program.about, "no docstring, which says what the job does"),
        (not program.dependencies, "no dependencies"),
        (not program.packages, "packages is empty: whose versions should be shown?"),
        (len(families) != 1, f"drivers is {program.drivers}: expected those of one database"),
        (not program.works and not program.limits, "works is false, and limits does not say why"),
        (program.works and not program.write, "write is empty: what has a user to write?"),
    ):
        if bad:
            raise BadJob(f"{program.path}: {what}")
