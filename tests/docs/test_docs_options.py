"""docs/options.md says what `IamOptions` is, and docs/secrets.md what `SecretOptions` is."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import fields

import pytest
from docs_support import ROOT

from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._config.secret_options import SecretOptions

_VALUE = re.compile(r"`([^`]+)`|[\d.]+")

PAGES = pytest.mark.parametrize(
    ("page", "config"), [("options.md", IamOptions), ("secrets.md", SecretOptions)]
)


def _page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def _rows(page: str, config: type[PluginOptions]) -> list[tuple[str, str]]:
    row = rf"^\| `({config.named('')}\w+)` \| (.+?) \| .+ \|$"
    return re.findall(row, _page(page), re.MULTILINE)


@PAGES
def test_every_option_once(page: str, config: type[PluginOptions]) -> None:
    """Each option has exactly one row."""
    rows = Counter(option for option, _ in _rows(page, config))
    assert rows == Counter(config.named(field.name) for field in fields(config))


@PAGES
def test_defaults(page: str, config: type[PluginOptions]) -> None:
    """The default that a row shows is the field's; where it shows words, the field has none."""
    known = {config.named(field.name): field for field in fields(config)}
    for option, shown in _rows(page, config):
        field = known[option]
        value = _VALUE.fullmatch(shown)
        if value is None:
            assert field.default is None, option
        else:
            assert field.metadata["parse"](value[1] or value[0]) == field.default, option


def test_one_page_names_all() -> None:
    """The page of all options has the name of each option."""
    for config in (IamOptions, SecretOptions):
        for field in fields(config):
            assert f"`{config.named(field.name)}`" in _page("options.md")
