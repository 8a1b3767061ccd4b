"""The times and shares that the pages promise are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sqlalchemy_rds_iam._aws.sigv4 import TOKEN_LIFE
from sqlalchemy_rds_iam._endpoints import cname
from sqlalchemy_rds_iam._passwords import expiry, fetch
from sqlalchemy_rds_iam._ratelimit import limiter, retry_policy

DOCS = Path(__file__).parents[2] / "docs"
NUMBER = r"([\d.]+|an?|once an?)"
WORDS = {"a": 1.0, "an": 1.0, "once a": 1.0, "once an": 1.0}

PROMISES: list[tuple[str, str, list[float]]] = [
    ("credentials.md", "A fetch without an answer after # s is abandoned", [fetch.FETCH_LIMIT]),
    ("outages.md", "another fetch begins after # s", [fetch.FETCH_LIMIT]),
    ("how-it-works.md", "at most the last # minutes", [expiry.LONGEST_RENEWAL / 60]),
    ("how-it-works.md", "before they expire, at most # s", [expiry.LONGEST_MARGIN]),
    ("how-it-works.md", "that signed it, or after # minutes", [TOKEN_LIFE / 60]),
    (
        "cnames-tunnels.md",
        "at least # and at most # seconds; after a failed connect, for at most # seconds",
        [cname.SHORTEST_MEMORY, cname.LONGEST_MEMORY, cname.SHORTEST_MEMORY],
    ),
    ("cnames-tunnels.md", "one connect at a time, by at most # seconds", [cname.PATIENCE]),
    ("rate-limits.md", "and # % less on average", [round(100 * (limiter.HEADROOM - 1), 6)]),
    (
        "rate-limits.md",
        "to # of the logins that succeeded in the last second, at most # second",
        [limiter.CUT, limiter.CUT_PAUSE],
    ),
    (
        "rate-limits.md",
        "If the last success was more than # second ago, the plugin first tries new credentials",
        [retry_policy.RECENT],
    ),
    (
        "rate-limits.md",
        "Then it waits for # to # s, after that for # to # s",
        [
            *(retry_policy.SHORTEST_PAUSE / 2, retry_policy.SHORTEST_PAUSE),
            *(retry_policy.LONGEST_PAUSE / 2, retry_policy.LONGEST_PAUSE),
        ],
    ),
    ("rate-limits.md", "`on`, the default | at most # s", [retry_policy.WINDOWS["on"]]),
    ("rate-limits.md", "`patient` | at most # s", [retry_policy.WINDOWS["patient"]]),
    (
        "rate-limits.md",
        "random**: # to # s, then # to # s, then # to # s",
        [
            *(retry_policy.SHORTEST_PAUSE / 2, retry_policy.SHORTEST_PAUSE),
            *(retry_policy.SHORTEST_PAUSE, 2 * retry_policy.SHORTEST_PAUSE),
            *(retry_policy.WIDEST_PAUSE / 2, retry_policy.WIDEST_PAUSE),
        ],
    ),
]


@pytest.mark.parametrize(
    ("page", "said", "numbers"), PROMISES, ids=[f"{page}: {said}" for page, said, _ in PROMISES]
)
def test_numbers(page: str, said: str, numbers: list[float]) -> None:
    """Each is on its page, once, in these words."""
    text = " ".join((DOCS / page).read_text("utf-8").split())
    [found] = re.findall(f"(?:{re.escape(said).replace(re.escape('#'), NUMBER)})", text)
    texts = [found] if isinstance(found, str) else found
    assert [WORDS[each] if each in WORDS else float(each) for each in texts] == numbers


def test_numbers_in_words() -> None:
    """Those that the pages write out."""
    text = " ".join((DOCS / "rate-limits.md").read_text("utf-8").split())
    assert limiter.REGAIN == 1 / 20
    assert "by a twentieth of `rds_iam_connect_rate` each second" in text
    assert limiter.LOWEST == 1.0
    assert "and never below one per second" in text
