"""Whether the URL names the plugin, and who owns that name: SQLAlchemy looks for no other.

SQLAlchemy reads the word ``plugin`` of a URL's query and ``plugins=`` of ``create_engine()``. It
drops a word ``plugins`` of the query, and hands a misspelled word to the driver.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import URL

from sqlalchemy_rds_iam import _owners
from sqlalchemy_rds_iam._config.options import PLUGINS
from sqlalchemy_rds_iam._config.urls import plugin_names
from sqlalchemy_rds_iam.doctor import dialects
from sqlalchemy_rds_iam.doctor.advice import option, shell
from sqlalchemy_rds_iam.doctor.findings import Certainty, Command, Finding, problem
from sqlalchemy_rds_iam.doctor.urls import PLUGIN_WORDS, instead

_GROUP = "sqlalchemy.plugins"
_SOURCE = Path(_owners.__file__).parents[1]
_CLOSE = 0.75
# What the plugin would need as well: found only because it was assumed.
_ASSUMED = (
    *("ca-file", "region-unknown", "name-not-endpoint"),
    *("certificate-name", "certificate-untrusted"),
)
_ALONE = (
    "SQLAlchemy makes an engine of this URL that logs in without a token; with plugins=['rds_iam'] "
    "in create_engine() the URL need not name it"
)


class Given(NamedTuple):
    """The URL and the keywords, with the plugin named as SQLAlchemy wants it.

    Attributes:
        plugin: which of our two plugins it is.
        findings: what was wrong with the name.
    """

    url: URL
    keywords: dict[str, Any]
    plugin: str
    findings: list[Finding]


def read(url: URL, keywords: dict[str, Any]) -> Given:
    """Find the plugin's name; without one, assume `rds_iam` from here on."""
    findings: list[Finding] = []
    url, by_word = _misspelled_word(url)
    if by_word:
        findings.append(_word_unknown(by_word, url))
    url, keywords = _with_known_names(url, dict(keywords), findings)
    named = {*plugin_names(url.query), *_keyword(keywords)} & {*PLUGINS}
    if named == {"rds_secret"}:
        return Given(url, keywords, "rds_secret", findings)
    if not named:
        url = url.update_query_dict({"plugin": "rds_iam"}, append=True)
        findings.append(_not_named(url))
    return Given(url, keywords, "rds_iam", findings)


def owners(plugin: str) -> Iterator[Finding]:
    """Look who is registered under the plugin's name."""
    found = entry_points(group=_GROUP, name=plugin)
    for other in _owners.others():
        if other.has_package or plugin in other.plugins:
            yield _owned_by(other)
    if not any(_owners.is_ours(each.dist) for each in found):
        yield problem(
            "plugin-missing",
            f"no installed package registers the SQLAlchemy plugin {plugin}",
            why="SQLAlchemy finds plugins through the metadata of installed packages; a copy of "
            "the source on the path is not enough",
            fix="Install the package from where this copy is of",
            commands=(shell(f"pip install {shlex.quote(str(_SOURCE))}"),)
            if (_SOURCE / "pyproject.toml").exists()
            else (),
            explains=("driver-missing", "plugin-unknown"),
            regardless=True,
        )


def _owned_by(other: _owners.Owner) -> Finding:
    return problem(
        "plugin-owners",
        f"{other.name} {other.version} has {other.has} as well",
        why="which plugin of a name SQLAlchemy loads depends on the order of directories on the "
        "path, and files of one package may have overwritten those of the other",
        fix=f"Uninstall the one that you do not use, then install {_owners.NAME} again",
        commands=(shell(f"pip uninstall --yes {shlex.quote(other.name)}"),),
        explains=("driver-missing", "plugin-unknown"),
        regardless=True,
    )


def _misspelled_word(url: URL) -> tuple[URL, str | None]:
    """The URL with ``plugin`` spelled right, and how it was spelled."""
    for word, value in url.query.items():
        values = (value,) if isinstance(value, str) else value
        if word != PLUGIN_WORDS[0] and _ours(word, PLUGIN_WORDS) and any(map(_ours, values)):
            fixed = url.difference_update_query([word])
            return fixed.update_query_dict({PLUGIN_WORDS[0]: values}, append=True), word
    return url, None


def _with_known_names(
    url: URL, keywords: dict[str, Any], findings: list[Finding]
) -> tuple[URL, dict[str, Any]]:
    """Replace names that SQLAlchemy does not know by ours, or take them out."""
    known = {each.name for each in entry_points(group=_GROUP)} | {*PLUGINS}
    in_url, by_keyword = plugin_names(url.query), _keyword(keywords)
    unknown = [name for name in in_url if name not in known]
    if unknown:
        names = list(dict.fromkeys(filter(None, (_known(name, known) for name in in_url))))
        url = url.difference_update_query(["plugin"]).update_query_dict({"plugin": tuple(names)})
        findings.append(_name_unknown(unknown[0], instead(dialects.corrected(url))))
    if isinstance(keywords.get("plugins"), str) or any(name not in known for name in by_keyword):
        names = list(dict.fromkeys(filter(None, (_known(name, known) for name in by_keyword))))
        wrong = next((name for name in by_keyword if name not in known), by_keyword[0])
        findings.append(_name_unknown(wrong, option(f"plugins={names!r}")))
        keywords["plugins"] = names
    return url, keywords


def _known(name: str, known: set[str]) -> str | None:
    return name if name in known else _ours(name)


def _ours(name: str, names: tuple[str, ...] = PLUGINS) -> str | None:
    """Which of `names` this is, spelled otherwise."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.strip().lower())
    found = difflib.get_close_matches(plain, names, 1, _CLOSE)
    return found[0] if found else None


def _keyword(keywords: dict[str, Any]) -> list[str]:
    named = keywords.get("plugins") or ()
    return [named] if isinstance(named, str) else list(named)


def _word_unknown(word: str, url: URL) -> Finding:
    return problem(
        "plugin-not-named",
        f"the URL names the plugin with the word {word!r}, which SQLAlchemy does not read: it is "
        f"{PLUGIN_WORDS[0]!r}",
        why=_ALONE,
        fix="Use this URL",
        commands=(instead(dialects.corrected(url)),),
        regardless=True,
    )


def _not_named(url: URL) -> Finding:
    meant = any(key.startswith(tuple(f"{plugin}_" for plugin in PLUGINS)) for key in url.query)
    return problem(
        "plugin-not-named",
        "the URL does not name the plugin rds_iam" + (", and has options of it" if meant else ""),
        Certainty.CERTAIN if meant else Certainty.LIKELY,
        why=_ALONE,
        fix="Use this URL; the checks below assume it",
        commands=(instead(dialects.corrected(url)),),
        explains=_ASSUMED,
        regardless=True,
    )


def _name_unknown(name: str, fix: Command) -> Finding:
    ours = _ours(name)
    meant = f"; the plugin is called {ours!r}" if ours and ours != name else ""
    listed = "; create_engine() takes a list of names" if ours == name else ""
    return problem(
        "plugin-unknown",
        f"no installed package registers the SQLAlchemy plugin {name!r}{meant}{listed}",
        why='create_engine() fails with "Can\'t load plugin"',
        fix="Use this instead" if ours else "Remove it, or install the package that brings it",
        commands=(fix,),
        regardless=True,
    )
