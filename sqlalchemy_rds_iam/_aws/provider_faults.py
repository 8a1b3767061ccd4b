"""What is behind an error of one of botocore's providers: the file, the variable, the program.

botocore lets many errors through as they come, and says of others less than it knows. What it has
raised, and the providers in the traceback, tell more.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy_rds_iam._aws import shared_files
from sqlalchemy_rds_iam._masking import first_line

_EXPIRATION = "AWS_CREDENTIAL_EXPIRATION"
_EXPECTED_TIME = "expected ISO 8601 with a time zone, such as 2030-01-31T12:00:00Z"
_FILES = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
    "AWS_CA_BUNDLE",
)
_METADATA = "http://169.254.169.254/"
_HEADER = r"[ -~]*"
# What a parameter's value was, in a report of botocore's on parameters.
_VALUE = r", value: .*?(?=, (?:valid|type)|$)"


def in_traceback(error: BaseException, attribute: str) -> Any:
    """The innermost object with this attribute whose method has led to an error, if any."""
    found, trace = None, error.__traceback__
    while trace is not None:
        owner = trace.tb_frame.f_locals.get("self")
        if getattr(owner, attribute, None) is not None:
            found = owner
        trace = trace.tb_next
    return found


def reason(
    error: Exception, method: str | None, provider: Any, environ: Mapping[str, str] = os.environ
) -> str | None:
    """Why there are no credentials, in more words than botocore's; None if there are no more.

    Args:
        error: botocore's, or one that it has let through.
        method: the provider that is named in the message.
        provider: the one that has failed, which may be the source of that one; None if unknown.
        environ: where variables are looked for.
    """
    from botocore import exceptions

    failed = getattr(provider, "METHOD", method)
    found: str | None = None
    if isinstance(error, exceptions.ConfigParseError):
        found = shared_files.parse_fault(error.kwargs["path"])
    elif failed == "custom-process":
        found = _process(error, provider)
    elif method == "env" and (expiration := environ.get(_EXPIRATION)):
        found = _expiration(error, f"{_EXPIRATION}={expiration!r}")
    elif failed == "container-role":
        found = _authorization(environ)
    elif isinstance(error, exceptions.PartialCredentialsError):
        found = _partial(error, provider)
    return found or _of_file(error, environ) or _of_parameters(error)


def _partial(error: Exception, provider: Any) -> str | None:
    for attribute in ("_creds_filename", "_config_filename"):
        if path := getattr(provider, attribute, None):
            return f"{first_line(error)} of the profile {provider._profile_name!r} in {path}"  # noqa: SLF001
    return None


def _of_file(error: Exception, environ: Mapping[str, str]) -> str | None:
    """What is wrong with a file that botocore reads at each fetch, such as one with a token."""
    from botocore import exceptions

    if isinstance(error, OSError) and error.filename:
        return f"{_named(error.filename, environ)} cannot be read ({error.strerror})"
    user = in_traceback(error, "_web_identity_token_loader")
    loader = getattr(user, "_web_identity_token_loader", None)
    path = getattr(loader, "_web_identity_token_path", None)
    if path is None:
        return None
    if isinstance(error, UnicodeDecodeError):
        return f"{_named(path, environ)} is no text: expected a web identity token"
    if isinstance(error, exceptions.ParamValidationError) and not (_text(path) or "").strip():
        return f"{_named(path, environ)} is empty: expected a web identity token"
    return None


def _of_parameters(error: Exception) -> str | None:
    from botocore import exceptions

    if not isinstance(error, exceptions.ParamValidationError):
        return None
    reports = [re.sub(_VALUE, "", line) for line in str(error.kwargs["report"]).splitlines()]
    return f"STS cannot be asked: {first_line('; '.join(reports))}"


def metadata_hint(environ: Mapping[str, str]) -> str | None:
    """What may keep the metadata service of an instance from answering."""
    from botocore.utils import get_environ_proxies

    disabled = "AWS_EC2_METADATA_DISABLED"
    if environ.get(disabled, "").lower() == "true":
        return f"{disabled}=true keeps the metadata service of an instance from being asked"
    url = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _METADATA
    scheme, host = urlsplit(url).scheme, urlsplit(url).hostname
    proxies = get_environ_proxies(url)
    for kind in (scheme, "all"):
        if kind in proxies:
            names = [name for name in environ if name.lower() == f"{kind}_proxy"]
            return (
                "the metadata service of an instance is asked through a proxy "
                f"({' and '.join(names)}): add {host} to NO_PROXY"
            )
    return None


def _process(error: Exception, provider: Any) -> str | None:
    from botocore import exceptions

    profile = getattr(provider, "_profile_name", None)
    what = "the credential_process" + (f" of the profile {profile!r}" if profile else "")
    if getattr(provider, "_credential_process", None) == "":
        return f"{what} is empty: expected a command"
    if isinstance(error, exceptions.CredentialRetrievalError):
        return f"{what} {_retrieval(str(error.kwargs['error_msg']).strip())}"
    if (fault := _output(error)) is not None:
        return f"{what} {fault}"
    return _expiration(error, f"the Expiration that {what} prints")


def _retrieval(said: str) -> str:
    """What botocore says of a process that has failed, which is its stderr, or of its answer."""
    if said.startswith("Unsupported version"):
        return 'has to print JSON with "Version": 1'
    if said.startswith("Missing required key"):
        return f"prints JSON without the key {said.rpartition(' ')[2]}"
    lines = said.splitlines()
    if not lines:
        return "has failed, and has written nothing to stderr: run it by hand"
    # Of a traceback the last line says what has happened.
    return f"has failed: {first_line(lines[-1 if lines[0].startswith('Traceback ') else 0])}"


def _output(error: Exception) -> str | None:
    text: str | None = None
    match error:
        case json.JSONDecodeError(doc=""):
            text = "has printed nothing: expected JSON"
        case json.JSONDecodeError():
            text = f"prints what is no JSON (line {error.lineno}, column {error.colno})"
        case UnicodeDecodeError():
            text = "writes what is no UTF-8"
        case AttributeError():
            text = "prints JSON that is no object with keys, or has no text for one of them"
        case OSError():
            text = f"cannot be run: {error.filename!r} ({error.strerror})"
        case ValueError() if type(error) is ValueError:
            text = f"is no command ({first_line(error)})"
    return text


def _expiration(error: Exception, what: str) -> str | None:
    match error:
        case RuntimeError():
            return f"{first_line(error).rstrip('.')}: {what} has passed; it has to be renewed there"
        case TypeError():
            return f"{what} has no time zone: {_EXPECTED_TIME}"
        case ValueError() | OverflowError():
            return f"{what} is no time: {_EXPECTED_TIME}"
    return None


def _authorization(environ: Mapping[str, str]) -> str | None:
    """What no header may have in it, in the token for a container's agent."""
    variable = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
    token = environ.get(variable, "")
    if path := environ.get(f"{variable}_FILE"):
        variable = f"{path} ({variable}_FILE)"
        token = _text(path) or ""
    if re.fullmatch(_HEADER, token):
        return None
    where = "ends in a line feed" if token.endswith("\n") else "has characters in it"
    return f"{variable} {where}, which no header may have: remove it"


def _named(path: Any, environ: Mapping[str, str]) -> str:
    """A file, and the variable that names it."""
    variable = next((name for name in _FILES if environ.get(name) == str(path)), None)
    return f"{path} ({variable})" if variable else str(path)


def _text(path: str) -> str | None:
    file = Path(path)
    try:
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None
    except OSError:
        return None
