"""The AWS region that the name of an RDS endpoint tells."""

from __future__ import annotations

import re


def region_of(host: str) -> str:
    """The region in `host`.

    Raises:
        ValueError: There is none.
    """
    match = re.search(r"\.([a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2})\.", host.lower())
    if match is None:
        raise ValueError(f"no AWS region in the host name {host!r}: pass region=")
    return match[1]
