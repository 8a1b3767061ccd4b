"""A process that reads a command a line, as JSON, and answers each with a line of JSON."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple, Self

from benchmarks.lib import measure

_END_SECONDS = 60.0


class Python(NamedTuple):
    """Which Python runs a process, and in which directory; by default this one, in this one.

    Attributes:
        executable: its path.
        directory: what is imported from, before all else; None for the present one.
    """

    executable: str = sys.executable
    directory: Path | None = None


HERE = Python()


class CommandProcess:
    """Such a process, seen from the one that started it.

    Args:
        module: its name, from the checkout on.
        arguments: of its command line.
        name: what it is, for messages.
        environ: its environment; by default, this process's.
        deadline: the most seconds that an answer may take.
        python: what runs it.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        name: str,
        environ: dict[str, str] | None = None,
        deadline: float = 60.0,
        python: Python = HERE,
    ) -> None:
        self._command = [python.executable, "-m", module, *arguments]
        self._directory = python.directory
        self._name, self._environ, self._deadline = name, environ, deadline

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environ,
            cwd=self._directory,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def ask(self, *command: Any) -> dict[str, Any]:
        """Give it a command, and return its answer.

        Raises:
            NoResult: it has ended, or does not answer.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """What it says next.

        Raises:
            NoResult: it has ended, or says nothing.
        """
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], self._deadline)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            raise measure.NoResult(
                f"{self._name} has ended; see above for its last words"
                if ready
                else f"{self._name} has not answered for {self._deadline:g} s"
            )
        found: dict[str, Any] = json.loads(line)
        return found


def say(what: dict[str, Any]) -> None:
    """Answer, in such a process."""
    print(json.dumps(what), flush=True)


def serve(commands: object) -> None:
    """In such a process: call the method that each command names, until there are no more."""
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        say(getattr(commands, name)(*arguments) or {})
