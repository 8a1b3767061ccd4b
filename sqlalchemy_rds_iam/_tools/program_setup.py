"""How a program is told to connect as an engine would; what differs is made per family."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy_rds_iam._passwords.password import IssuedPassword
from sqlalchemy_rds_iam._tls.trust import FoundCa


@dataclass(frozen=True)
class ProgramSetup:
    """How to run a program, but for the password.

    Attributes:
        command: the program and its arguments.
        variables: the environment variables to set.
        password: the variable for the password.
        is_refused: whether what a program says is that a login was refused or throttled.
        aside: the variables that would say otherwise, and have to go.
        notes: sentences for the user.
        directory: of files for the program, to be removed when it has ended.
    """

    command: list[str]
    variables: dict[str, str]
    password: str
    is_refused: Callable[[str], bool]
    aside: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)
    directory: Path | None = None

    def environment(
        self, password: IssuedPassword, environ: Mapping[str, str]
    ) -> tuple[dict[str, str], list[str]]:
        """The whole environment of the program.

        Args:
            password: what to log in with.
            environ: the environment so far.

        Returns:
            It, and the names of those variables whose value had to give way.
        """
        ours = {**self.variables, self.password: str(password.password)}
        kept = {name: value for name, value in environ.items() if name not in self.aside}
        gone = [name for name in environ.keys() & self.aside if name not in ours]
        gone += [name for name, value in ours.items() if environ.get(name, value) != value]
        return kept | ours, sorted(gone)

    def clean_up(self) -> None:
        """Remove the files for the program."""
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)


def passed_over(ca: FoundCa | None) -> list[str]:
    """A sentence for each CA file that does not count."""
    passed = ca.passed if ca else ()
    return [f"a CA file is passed over, as others can change it: {each}" for each in passed]
