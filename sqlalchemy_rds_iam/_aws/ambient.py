"""Which region the AWS session is in, read as botocore reads it, but without importing botocore.

Importing botocore takes a fifth of a second, and ``create_engine()`` may be called on an event
loop. What is read here are two small files, and only if no variable names a region.

Source: ``configloader`` and ``session`` of botocore, and "Configuration and credential file
settings" in the AWS CLI user guide. It differs from botocore on purpose in this: ``AWS_REGION``
counts and comes first, as in the other SDKs; a variable or setting that is empty counts as not
given; white space around a region is dropped; and what cannot be a region is refused.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy_rds_iam._aws.shared_files import parse_fault
from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._endpoints.hostname import HostName
from sqlalchemy_rds_iam._endpoints.regions import as_region
from sqlalchemy_rds_iam.errors import ConfigError

_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
_PROFILES = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")
"""In botocore's order, which is not that of the other SDKs."""

_READ = (*_VARIABLES, *_PROFILES, "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")

_SETTING = r"(?i)\s*region\s*[=:]"

Sections = dict[str, dict[str, str]]


def ambient_region(
    config: PluginOptions, environ: Mapping[str, str] = os.environ, *, needed: bool = False
) -> str | None:
    """The region of the AWS session, None if it has none.

    Args:
        config: the options, with the session or the profile.
        environ: the environment; ``~`` and variables inside of paths are always the process's own.
        needed: whether nothing else names a region; see `profile_region`.

    Raises:
        ConfigError: what is said there cannot be a region.
    """
    if config.session is not None:
        return _region_of(config.session, config.named("session"))
    return profile_region(config.profile, environ, needed=needed)


def nearest_region(
    config: IamOptions, host: HostName, environ: Mapping[str, str] = os.environ
) -> str | None:
    """The region whose STS is nearest: where we run, else where the database `host` does.

    Raises:
        ConfigError: what is said in the environment cannot be a region.
    """
    return ambient_region(config, environ) or config.region or host.region


def profile_region(
    profile: str | None, environ: Mapping[str, str] = os.environ, *, needed: bool = False
) -> str | None:
    """The region that the environment names, or else the shared AWS files for a profile.

    None if the files cannot be parsed, or do not know the profile: botocore, which has to read
    them for the credentials, says what is wrong with them.

    Args:
        profile: the profile; None for the one that the environment names.
        environ: see `ambient_region`.
        needed: whether nothing else names a region, so that a file that cannot be parsed matters.

    Raises:
        ConfigError: what is said there cannot be a region; or it is `needed`, and is not to be
            read.
    """
    given = {name: value for name in _READ if (value := environ.get(name, "")).strip()}
    for name in _VARIABLES:
        if name in given:
            return _checked(given[name].strip(), name)
    config = _path(given.get("AWS_CONFIG_FILE", "~/.aws/config"))
    credentials = _path(given.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"))
    wanted = profile or next((given[name] for name in _PROFILES if name in given), "default")
    try:
        found = [_in_config(config, wanted), _in_credentials(credentials, wanted)]
    except _UnparsedError as error:
        if needed:
            raise ConfigError(f"no region, as {parse_fault(str(error))}") from None
        return None
    # Of two files that name a region, the credentials file has the last word.
    for setting in reversed(found):
        if setting is not None:
            region = setting.value.strip()
            return _checked(region, setting) if region else None
    return None


class _UnparsedError(ValueError):
    """The path of a file that botocore cannot parse."""


class _Setting(NamedTuple):
    """A region in a file, and where it stands."""

    value: str
    path: str
    section: str

    def __str__(self) -> str:
        """The file and the line, which are looked for only if they have to be named."""
        from configparser import DEFAULTSECT, RawConfigParser

        section, places = "", dict[str, str]()
        with contextlib.suppress(OSError), Path(self.path).open(errors="replace") as file:
            for number, line in enumerate(file, 1):
                if header := RawConfigParser.SECTCRE.match(line.strip()):
                    section = header["header"]
                elif re.match(_SETTING, line):
                    places[section] = f", line {number}"
        place = places.get(self.section, places.get(DEFAULTSECT, ""))
        return f"{self.path}{place}: region"


def _in_config(path: str, profile: str) -> _Setting | None:
    """What the config file says, where a profile's section is ``[profile NAME]``."""
    found = None
    for section, values in _sections(path).items():
        # Of several sections for one profile the last counts, and all of it.
        if profile == _profile_in(section):
            found = _Setting(values["region"], path, section) if "region" in values else None
    return found


def _in_credentials(path: str, profile: str) -> _Setting | None:
    """What the credentials file says, where a profile's section is ``[NAME]``."""
    values = _sections(path).get(profile, {})
    return _Setting(values["region"], path, profile) if "region" in values else None


def _profile_in(section: str) -> str | None:
    """The profile that a section of the config file is about, if any."""
    if section == "default":
        return section
    if not section.startswith("profile"):
        return None
    import shlex

    try:
        words = shlex.split(section)
    except ValueError:  # a quotation mark that stands alone
        return None
    return words[1] if len(words) == 2 else None  # noqa: PLR2004  (the word and the name)


def _sections(path: str) -> Sections:
    """What is in a file; nothing if there is none, or none that may be read.

    Raises:
        _UnparsedError: botocore cannot parse it.
    """
    from configparser import Error, RawConfigParser  # seldom needed, and no part of a cold start

    parser = RawConfigParser()
    try:
        if Path(path).is_file():
            parser.read([path])
    except (Error, UnicodeDecodeError) as error:
        raise _UnparsedError(path) from error
    found = {section: dict(parser[section]) for section in parser.sections()}
    for values in found.values():
        for value in values.values():
            lines = value.splitlines() if value.startswith("\n") else []
            if any("=" not in line for line in lines if line.strip()):
                raise _UnparsedError(path)
    return found


def _path(path: str) -> str:
    # What pathlib raises for a home that is not known, botocore takes as it stands.
    return os.path.expanduser(os.path.expandvars(path))  # noqa: PTH111


def _region_of(session: Any, option: str) -> str | None:
    """The region that a session of botocore, boto3 or aiobotocore has itself."""
    look_up = getattr(unwrapped(session), "get_config_variable", None)
    try:
        value = getattr(session, "region_name", None) or (look_up and look_up("region"))
    except Exception:  # noqa: BLE001  (as for the files: it says so again for the credentials)
        return None
    region = str(value or "").strip()
    return _checked(region, f"the region of {option}") if region else None


def unwrapped(session: Any) -> Any:
    """The botocore session inside a boto3 (or aioboto3) one."""
    return getattr(session, "_session", session)


def _checked(region: str, place: object) -> str:
    try:
        return as_region(region)
    except ValueError as error:
        raise ConfigError(f"{place}={region!r}: expected {error}") from None
