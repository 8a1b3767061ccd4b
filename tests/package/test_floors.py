"""The oldest versions that are allowed are those that `make floor` installs."""

from __future__ import annotations

import pytest
from floors import floors

PROJECT = {
    "name": "ours",
    "dependencies": ["one>=1.0", "one>=1.10; python_version >= '3.13'"],
    "optional-dependencies": {
        "all": ["ours[some]", "three>=3"],
        "some": ["two[fast]>=2.9.1", "one[slow]>=1.0"],
        "none": ["four>=4"],
    },
}


@pytest.mark.parametrize(("minor", "oldest"), [(11, "1.0"), (13, "1.10")])
def test_of_this_python(minor: int, oldest: str) -> None:
    """The highest of the lowest versions counts, with all that is used of the package."""
    assert list(floors(PROJECT, ["all"], minor).values()) == [
        f"'one[slow]=={oldest}'",
        "'two[fast]==2.9.1'",
        "'three==3'",
    ]


def test_what_cannot_be_read() -> None:
    """A range that is more than a lowest version is refused, instead of being left out."""
    with pytest.raises(AssertionError, match=r"'one<2'"):
        floors({**PROJECT, "dependencies": ["one<2"]}, [], 11)
