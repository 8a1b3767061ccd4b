"""Keys that cannot be any, in every place that keys are taken from, and what is printed of them."""

from __future__ import annotations

import json
import shlex
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from providers_support import Provider, Site, session_of

CANARY = "canary"
"""Is part of each secret, and must be in nothing that is printed."""

NAMES = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_JSON = ("AccessKeyId", "SecretAccessKey", "SessionToken")
_TESTS = str(Path(__file__).parents[1])

DEFECTS: dict[str, Callable[[str], str]] = {
    "ends in a line feed": lambda value: f"{value}\n",
    "ends in a carriage return": lambda value: f"{value}\r",
    "has a line feed in it": lambda value: f"{value}\n{value}",
    "has a NUL in it": lambda value: f"{value}\0{value}",
    "has a control character in it": lambda value: f"{value}\x85{value}",
    "has a character that is not ASCII in it": lambda value: f"{value}é{value}",
    "ends in a blank": lambda value: f"{value} ",
    "has a blank in it": lambda value: f"{value} {value}",
    "begins with a quotation mark": lambda value: f'"{value}',
    "ends in a quotation mark": lambda value: f"{value}'",
}
"""What is said of a key, and how it comes to that."""


class Keys(NamedTuple):
    """An access key id, a secret access key and a session token."""

    access_key: str
    secret_key: str
    token: str

    @classmethod
    def malformed(cls, part: int, defect: str) -> Keys:
        """Keys one part of which cannot be any."""
        found = [f"AKIA{CANARY}", f"{CANARY}/secret+of/forty+characters", f"{CANARY}//token=="]
        found[part] = DEFECTS[defect](found[part])
        return cls(*found)

    def lines(self) -> list[str]:
        """As in the shared files, where a value goes on in lines that are indented."""
        return [
            f"{name} = {value.replace(chr(10), chr(10) + '  ')}"
            for name, value in zip(NAMES, self, strict=True)
        ]

    def json(self) -> str:
        """As a process prints them."""
        return json.dumps({"Version": 1} | dict(zip(_JSON, self, strict=True)))


class Place(NamedTuple):
    """Where keys are taken from.

    Attributes:
        put: puts them there.
        named: what is said of it; `%s` for the name of the part in files.
        loses: defects that do not come through.
    """

    put: Callable[[Site, Keys], Provider]
    named: Callable[[int], str]
    loses: tuple[str, ...] = ()


def _environment(site: Site, keys: Keys) -> Provider:
    for name, value in zip(NAMES, keys, strict=True):
        site.setenv(name.upper(), value)
    return Provider("env", site.principal)


def _role_on_environment(site: Site, keys: Keys) -> Provider:
    _environment(site, keys)
    return Provider("assume-role", site.principal, {"rds_iam_role_arn": site.principal.arn})


def _credential_source(site: Site, keys: Keys) -> Provider:
    _environment(site, keys)
    lines = f"role_arn = {site.principal.arn}", "credential_source = Environment"
    site.config("[profile app]", *lines)
    return Provider("assume-role", site.principal, {"rds_iam_profile": "app"})


def _credentials_file(site: Site, keys: Keys) -> Provider:
    site.credentials("[default]", *keys.lines())
    return Provider("shared-credentials-file", site.principal)


def _config_file(site: Site, keys: Keys) -> Provider:
    site.config("[profile app]", *keys.lines())
    return Provider("config-file", site.principal, {"rds_iam_profile": "app"})


def _source_profile(site: Site, keys: Keys) -> Provider:
    lines = f"role_arn = {site.principal.arn}", "source_profile = base"
    site.config("[profile app]", *lines, "[profile base]", *keys.lines())
    return Provider("assume-role", site.principal, {"rds_iam_profile": "app"})


def _process(site: Site, keys: Keys) -> Provider:
    site.config("[profile app]", _printing(site, keys))
    return Provider("custom-process", site.principal, {"rds_iam_profile": "app"})


def _role_on_process(site: Site, keys: Keys) -> Provider:
    lines = f"role_arn = {site.principal.arn}", "source_profile = base"
    site.config("[profile app]", *lines, "[profile base]", _printing(site, keys))
    return Provider("assume-role", site.principal, {"rds_iam_profile": "app"})


def _printing(site: Site, keys: Keys) -> str:
    file = site.directory / "of the process.json"
    file.write_text(keys.json())
    return f"credential_process = cat {shlex.quote(str(file))}"


def _container(site: Site, keys: Keys) -> Provider:
    site.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", site.aws.container_url)
    return _metadata(site, site.aws.container, keys, "container-role")


def _instance(site: Site, keys: Keys) -> Provider:
    return _metadata(site, site.aws.imds, keys, "iam-role")


def _metadata(site: Site, service: Any, keys: Keys, method: str) -> Provider:
    site.setattr(service, "role", site.principal)
    document = service.document(site.principal)
    document |= dict(zip((*_JSON[:2], "Token"), keys, strict=True))
    site.setattr(service, "document", lambda _role: document)
    return Provider(method, site.principal)


def _session(site: Site, keys: Keys) -> Provider:
    session = session_of(site.way)
    session.set_credentials(*keys)
    return Provider("explicit", site.principal, keywords={"rds_iam_session": session})


def _role_on_session(site: Site, keys: Keys) -> Provider:
    provider = _session(site, keys)
    provider.options = {"rds_iam_role_arn": site.principal.arn}
    return provider


def _variable(part: int) -> str:
    return NAMES[part].upper()


def _part(part: int) -> str:
    return ("access key id", "secret access key", "session token")[part]


# Variables end at a NUL, and configparser strips what stands around a value.
_OF_VARIABLES = ("has a NUL in it",)
_OF_FILES = ("ends in a line feed", "ends in a carriage return", "ends in a blank")
PLACES = {
    "environment": Place(_environment, _variable, _OF_VARIABLES),
    "role on environment": Place(_role_on_environment, _variable, _OF_VARIABLES),
    "credential_source": Place(_credential_source, _variable, _OF_VARIABLES),
    "credentials file": Place(
        _credentials_file, lambda part: f"{NAMES[part]} of [default] in ", _OF_FILES
    ),
    "config file": Place(
        _config_file, lambda part: f"{NAMES[part]} of [profile app] in ", _OF_FILES
    ),
    "source_profile": Place(
        _source_profile, lambda part: f"{NAMES[part]} of [profile base] in ", _OF_FILES
    ),
    "process": Place(_process, _part),
    "role on process": Place(_role_on_process, _part),
    "container": Place(_container, _part),
    "instance": Place(_instance, _part),
    "session": Place(_session, lambda part: f"{_part(part)} of the session (rds_iam_session)"),
    "role on session": Place(
        _role_on_session, lambda part: f"{_part(part)} of the session (rds_iam_session)"
    ),
}


def printed(error: BaseException) -> Iterator[str]:
    """Everything that is printed of an error, by those who show variables of frames as well."""
    yield "".join(traceback.format_exception(error))
    chain, seen = [error], set()
    while chain:
        each = chain.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield f"{each!r} {vars(each)!r}"
        chain += [e for e in (each.__cause__, each.__context__) if e is not None]
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if not frame.f_code.co_filename.startswith(_TESTS):
                yield f"{frame.f_code.co_qualname}: {dict(frame.f_locals)!r}"
