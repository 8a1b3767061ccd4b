"""Two runs of SQLAlchemy's dialect suite are the same only if every test has the same outcome."""

from __future__ import annotations

from dialect.outcomes import LEAST, Run, differences

GOOD = Run({f"test_{number}": "passed" for number in range(LEAST)} | {"other": "skipped"}, 1.0)


def _words(**other: str) -> list[str]:
    return list(differences(GOOD, Run({**GOOD.outcomes, **other}, 2.0)))


def test_the_same() -> None:
    """The time that they take does not count."""
    assert not _words()


def test_one_that_differs() -> None:
    """Each test counts by itself, those that only one run has as well."""
    assert "test_0: passed without the plugin, failure with it" in _words(test_0="failure")
    assert "other: skipped without the plugin, passed with it" in _words(other="passed")
    assert "more: not there without the plugin, passed with it" in _words(more="passed")


def test_one_that_fails_in_both() -> None:
    """What fails is no success, even if it does so without the plugin."""
    failing = Run({**GOOD.outcomes, "other": "error"}, 1.0)
    assert list(differences(failing, failing)) == ["other: error in both"]


def test_too_few() -> None:
    """A suite that skips everything proves nothing."""
    skipping = Run({"other": "skipped"}, 1.0)
    assert list(differences(skipping, skipping)) == [
        f"0 tests passed, and at least {LEAST} have to"
    ]
