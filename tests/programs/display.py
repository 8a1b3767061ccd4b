"""What is shown meanwhile: a line for each program that runs, and one for each that has ended."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Display:
    """Lines on standard error. Where that is no terminal, each new activity is a line."""

    def __init__(self, width: int) -> None:
        """Begin.

        Args:
            width: Of the names.
        """
        self._console = Console(stderr=True, highlight=False)
        self._width = width
        self._start = time.monotonic()
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[name]}"),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def tell(self, name: str, activity: str) -> None:
        """Show what program `name` is doing now."""
        if name not in self._tasks:
            padded = name.ljust(self._width)
            self._tasks[name] = self._progress.add_task(activity, total=None, name=padded)
        self._progress.update(self._tasks[name], description=activity)
        if not self._console.is_terminal:
            self._line(name, activity)

    def end(self, name: str, outcome: str) -> None:
        """Show what has become of it."""
        if name in self._tasks:
            self._progress.remove_task(self._tasks.pop(name))
        self._line(name, outcome)

    def say(self, text: str) -> None:
        """Print a text."""
        self._console.print(text, markup=False, soft_wrap=True)

    def _line(self, name: str, text: str) -> None:
        seconds = time.monotonic() - self._start
        self.say(f"{seconds:6.0f} s  {name.ljust(self._width)}  {text}")
