"""Other processes that take all processors, as neighbours of a container do."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

# Ends with its parent, however that ends.
_BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(10_000))"


@contextlib.contextmanager
def busy(processes: int | None = None) -> Iterator[None]:
    """Keep so many processes busy meanwhile, by default as many as there are processors."""
    with contextlib.ExitStack() as running:
        for _ in range(processes or os.cpu_count() or 1):
            process = running.enter_context(subprocess.Popen([sys.executable, "-c", _BUSY]))
            running.callback(process.kill)
        yield
