"""A certificate authority for benchmarks without a server."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import trustme


@contextlib.contextmanager
def ca_file() -> Iterator[str]:
    """The path of a file with one authority, alone in its directory, which is there meanwhile."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "ca.pem")
        trustme.CA().cert_pem.write_to_path(str(file))
        yield str(file)
