"""What a `ConfigError` means: the cause's name for machines, and the URL that does without it.

Its sentence says already what was given and what was expected.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path

from sqlalchemy import URL, make_url

from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.options import PLUGINS
from sqlalchemy_rds_iam._config.secret_options import SecretOptions
from sqlalchemy_rds_iam._tls import trust
from sqlalchemy_rds_iam.doctor import manners
from sqlalchemy_rds_iam.doctor.advice import environment, option, shell
from sqlalchemy_rds_iam.doctor.dialects import with_driver
from sqlalchemy_rds_iam.doctor.findings import Command, Finding, Kind, problem
from sqlalchemy_rds_iam.doctor.state import State
from sqlalchemy_rds_iam.doctor.urls import changed, instead, without_password

_CODES = (
    ("sends a password in clear|cannot be guarded", "driver-old"),
    ("verifies the name that it connects to|does not check the certificate's", "driver-tunnel"),
    ("takes 'localhost' for a socket", "driver-tunnel"),
    ("cannot be used here|the plugin for a token is", "argument-refused"),
    ("unknown option|is not an option|knows no argument", "option-unknown"),
    ("contradicts", "region-wrong"),
    ("is weaker than|there are public roots|does not check names|TLS before 1.2", "tls-weak"),
    ("which RDS asks for", "tls-weak"),
    ("there is a password", "password-in-url"),
    ("CA bundle|CA file|root certificates|PGSSLROOTCERT|rds_iam_ca|sslrootcert", "ca-file"),
    ("names no region|no region for|expected a region", "region-unknown"),
    ("several hosts|one host only", "several-hosts"),
    ("the driver", "driver-unknown"),
    ("needs the dnspython|greenlet package|not installed", "package-missing"),
    ("named more than once|both want to give", "plugin-twice"),
)
_CORRECT = "Correct it in the URL, or in the keywords of create_engine()"
_FIXES = {
    Kind.URL: "Use this URL",
    Kind.SHELL: "Fetch or install what is missing",
    Kind.ENVIRONMENT: "Correct the variable, such as",
    Kind.OPTION: "Correct the keyword of create_engine()",
}
# Without these the login is another one, so leaving them out is not a fix.
_ESSENTIAL = {"host", "region", "role_arn", "profile", "external_id", "id", "session"}


def code_of(words: str) -> str:
    """The name of the cause behind a ConfigError."""
    found = (code for pattern, code in _CODES if re.search(pattern, words))
    return next(found, "option-wrong")


def explained(state: State, words: str) -> Finding:
    """The finding for a ConfigError, whose words stand for themselves."""
    code = code_of(words)
    commands = _COMMANDS.get(code, _option)(state, words)
    fix = _FIXES[commands[0].kind] if commands else _CORRECT
    return problem(code, words, fix=fix, commands=commands)


def _region(state: State, words: str) -> tuple[Command, ...]:
    named = re.search(r"(rds_\w+?_region)=", words)
    return changed(state, named[1] if named else "rds_iam_region")


def _unknown_region(state: State, words: str) -> tuple[Command, ...]:
    if (variable := re.match(r"(AWS_\w+)=", words)) is not None:
        return (environment(f"export {variable[1]}=REGION"),)
    named = re.match(r"(rds_\w+_region)=", words)
    return changed(state, **{named[1] if named else "rds_iam_region": "REGION"})


def _tls(state: State, _: str) -> tuple[Command, ...]:
    words = manners.of_url(make_url(state.given)).tls_words
    return changed(state, *words, *(f"{plugin}_tls" for plugin in PLUGINS))


def _password(state: State, _: str) -> tuple[Command, ...]:
    given = make_url(state.given)
    url = without_password(given)
    return () if url == given else (instead(url),)


def _ca_file(_: State, words: str) -> tuple[Command, ...]:
    named = re.search(r"CA file '([^']+)'", words)
    if named is None:
        return (shell("rds-iam ca --download"),)
    path = shlex.quote(str(Path(named[1]).expanduser()))
    fetch = f"curl --create-dirs -fsSo {path} {trust.BUNDLE_URL}"
    return (shell(fetch),)


def _one_host(state: State, _: str) -> tuple[Command, ...]:
    url = make_url(state.given)
    if url.host is None or "," not in url.host:
        return ()
    first, _, _ = url.host.partition(",")
    name, _, port = first.partition(":")
    return (instead(url.set(host=name, port=int(port) if port.isdigit() else url.port)),)


def _misspelled(state: State, words: str) -> tuple[Command, ...]:
    url = make_url(state.given)
    match = re.search(r"(?:option|argument) '?(\w+)'?[;,](?:.*did you mean '?(\w+)'?\?)?", words)
    gone = match[1] if match else words.partition(" ")[0]
    if gone not in url.query:
        return ()
    fixed = url.difference_update_query([gone])
    if match and match[2] and match[2] not in url.query:
        fixed = fixed.update_query_dict({match[2]: url.query[gone]})
    return (instead(fixed),)


def _driver(state: State, _: str) -> tuple[Command, ...]:
    return (instead(with_driver(make_url(state.given))),)


def _newer(_: State, words: str) -> tuple[Command, ...]:
    found = re.search(r"install (\w+) ([0-9.]+) or newer", words)
    return (shell(f"pip install '{found[1]}>={found[2]}'"),) if found else ()


def _tunnel(state: State, _: str) -> tuple[Command, ...]:
    """The URL with a driver that can verify another name than the one that it connects to."""
    return (instead(with_driver(make_url(state.given), tunnels=True)),)


def _argument(state: State, words: str) -> tuple[Command, ...]:
    return changed(state, re.split(r"\W", words)[0])


def _package(_: State, words: str) -> tuple[Command, ...]:
    found = re.search(r"pip install( '[^']+')+", words)
    return (shell(found[0]),) if found else ()


def _one_plugin(state: State, _: str) -> tuple[Command, ...]:
    url = make_url(state.given)
    used = [name for name in PLUGINS if any(key.startswith(f"{name}_") for key in url.query)]
    return (instead(url.update_query_dict({"plugin": (used or [*PLUGINS])[0]})),)


def _option(state: State, words: str) -> tuple[Command, ...]:
    url: URL = make_url(state.given)
    if "names no database user" in words:
        return (instead(url.set(username="USER")),)
    if "names no host" in words:
        return (instead(url.set(host="HOST")),)
    named = re.match(r"(rds_\w+)=", words)
    fields = {
        options.named(field.name)
        for options in (IamOptions, SecretOptions)
        for field in dataclasses.fields(options)
        if field.name not in _ESSENTIAL
    }
    if named is None or named[1] not in fields:
        return ()
    if named[1] in state.keywords:
        return (option(f"{named[1]}=None"),)
    return (instead(url.difference_update_query([named[1]])),)


_COMMANDS = {
    "driver-old": _newer,
    "driver-tunnel": _tunnel,
    "argument-refused": _argument,
    "region-wrong": _region,
    "region-unknown": _unknown_region,
    "tls-weak": _tls,
    "password-in-url": _password,
    "ca-file": _ca_file,
    "several-hosts": _one_host,
    "option-unknown": _misspelled,
    "driver-unknown": _driver,
    "package-missing": _package,
    "plugin-twice": _one_plugin,
}
