"""What to paste where there are no credentials: variables, profiles and lines of the AWS files.

No secret is in it: what has to be done to one, the shell does.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
from collections.abc import Callable
from urllib.parse import urlsplit

from sqlalchemy_rds_iam.doctor import providers
from sqlalchemy_rds_iam.doctor.advice import environment, shell
from sqlalchemy_rds_iam.doctor.findings import Command
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.urls import changed

_BEGINNINGS = (
    r"^no AWS credentials(?: from (?:'[^']+'|the source of a role))?: ",
    r"^Error when retrieving credentials from [\w-]+: (?:Error retrieving metadata: )?",
    r"^Credentials were refreshed, but the refreshed credentials are still expired: ",
)
_LINES = (
    ("stands before the first", "{line}i [default]"),
    ("repeats a setting", "{line}d"),
    (r"BOM\) of UTF-8", r"1s/^\xEF\xBB\xBF//"),
)
"""What is wrong with a line of a file, and what sed does about it."""

_ENCODINGS = ((r"BOM\) of UTF-16", "UTF-16"), ("is no utf-8", "LATIN1"))


def plain(words: str) -> str:
    """The plugin's sentence without its beginning, which the summary has."""
    for beginning in _BEGINNINGS:
        words = re.sub(beginning, "", words)
    return words


def commands(state: State, code: str, words: str) -> tuple[Command, ...]:
    """What to paste, where the words and the environment say enough to make it up."""
    made = _MAKERS.get(code)
    return made(state, words) if made is not None else ()


def _sign_in(state: State, _: str) -> tuple[Command, ...]:
    return (providers.sign_in(state.config.profile),)


def _around_proxy(_: State, __: str) -> tuple[Command, ...]:
    url = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or "http://169.254.169.254"
    return (environment(f'export NO_PROXY="$NO_PROXY,{urlsplit(url).hostname}"'),)


def _role(state: State, words: str) -> tuple[Command, ...]:
    return changed(state, "rds_iam_role_duration") if "DurationSeconds" in words else ()


def _expired(_: State, words: str) -> tuple[Command, ...]:
    if re.search("EXPIRATION.* (?:is no time|no time zone)", words):
        return (environment("unset AWS_CREDENTIAL_EXPIRATION"),)
    return providers.unset_keys() if _in_environment() else ()


def _incomplete(_: State, __: str) -> tuple[Command, ...]:
    if not _in_environment():
        return ()
    return providers.unset_keys() or (environment("export AWS_SECRET_ACCESS_KEY=SECRET-KEY"),)


def _endpoint(state: State, _: str) -> tuple[Command, ...]:
    if state.config.sts_endpoint_url is not None:
        return changed(state, "rds_iam_sts_endpoint_url")
    there = [name for name in ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL") if os.environ.get(name)]
    return (environment(f"unset {' '.join(there)}"),) if there else ()


def _bundle(_: State, __: str) -> tuple[Command, ...]:
    return (environment("export AWS_CA_BUNDLE=CA-FILE"),)


def _in_environment() -> bool:
    return any(os.environ.get(name) for name in providers.KEYS)


def _profile(state: State, words: str) -> tuple[Command, ...]:
    if moved := _line_of_file(state, words):
        return moved
    match = re.search(r"profile \((.*?)\)", words)
    close = difflib.get_close_matches(match[1], providers.profiles(), 1) if match else []
    if not close:
        return ()
    if state.config.profile is not None:
        return changed(state, rds_iam_profile=close[0])
    variable = "AWS_DEFAULT_PROFILE" if "AWS_DEFAULT_PROFILE" in words else "AWS_PROFILE"
    return (environment(f"export {variable}={shlex.quote(close[0])}"),)


def _malformed(_: State, words: str) -> tuple[Command, ...]:
    match = re.search(r"\b(AWS_[A-Z_]+)\b", words)
    if match is None or not os.environ.get(match[1]):
        return ()
    name = match[1]
    if name.endswith("_FILE"):
        return (shell(f'printf %s "$(cat "${name}")" > "${name}"'),)
    return (
        environment(f'export {name}="$(printf %s "${name}" | tr -d \'[:space:]\\042\\047`\')"'),
    )


def _line_of_file(_: State, words: str) -> tuple[Command, ...]:
    """What corrects a shared file; it keeps the old one."""
    if match := re.search(r"line (\d+) of (\S+) has to be (\[[^\]]+\])", words):
        line, path, section = match.groups()
        return (_sed(f"{line}s/.*/{section}/", path),)
    match = re.search(r"(\S+) cannot be parsed: line (\d+)", words)
    if match is None:
        return ()
    path, line = match.groups()
    for pattern, script in _LINES:
        if re.search(pattern, words):
            return (_sed(script.format(line=line), path),)
    for pattern, encoding in _ENCODINGS:
        if re.search(pattern, words):
            kept = shlex.quote(f"{path}.bak")
            path = shlex.quote(path)
            return (shell(f"cp {path} {kept} && iconv -f {encoding} -t UTF-8 {kept} > {path}"),)
    return ()


def _sed(script: str, path: str) -> Command:
    return shell(f"sed -i.bak {shlex.quote(script)} {shlex.quote(path)}")


_MAKERS: dict[str, Callable[[State, str], tuple[Command, ...]]] = {
    "profile-missing": _profile,
    "profile-mfa": _sign_in,
    "sso-login": _sign_in,
    "keys-malformed": _malformed,
    "aws-file": _line_of_file,
    "metadata-proxy": _around_proxy,
    "role-duration": _role,
    "aws-endpoint": _endpoint,
    "aws-tls": _bundle,
    "session-expired": _expired,
    "keys-incomplete": _incomplete,
}
