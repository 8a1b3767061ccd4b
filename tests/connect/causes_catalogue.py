"""Mistakes with AWS credentials, as they happen, and what has to be told of each."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from typing import NamedTuple

from malformed_support import CANARY
from providers_support import Site, lines_of

PROFILE = {"rds_iam_profile": "app"}
SECRET = f"{CANARY}/secret+of/forty+characters"
KEYS = (f"aws_access_key_id = AKIA{CANARY}", f"aws_secret_access_key = {SECRET}")
JSON = {"Version": 1, "AccessKeyId": f"AKIA{CANARY}", "SecretAccessKey": SECRET}
TIME = "expected ISO 8601 with a time zone"


class Mistake(NamedTuple):
    """What is wrong, and what is told of it.

    Attributes:
        make: makes the mistake; the options that the engine needs for it.
        told: parts of the message; `{}` is the directory of the test.
        cause: the name of the type that stands as the cause; None where there was no error.
        retryable: whether it may pass without a change.
    """

    make: Callable[[Site], dict[str, str]]
    told: tuple[str, ...]
    cause: str | None = None
    retryable: bool = False


def _file(
    *lines: str, encoding: str = "utf-8", raw: bytes = b""
) -> Callable[[Site], dict[str, str]]:
    def make(site: Site) -> dict[str, str]:
        site.credentials()
        file = site.directory / "credentials"
        file.write_bytes(raw + "\n".join(lines).encode(encoding))
        return {}

    return make


def _config(*lines: str) -> Callable[[Site], dict[str, str]]:
    def make(site: Site) -> dict[str, str]:
        site.config(*(line.format(arn=site.principal.arn) for line in lines))
        return PROFILE

    return make


def _process(command: str) -> Callable[[Site], dict[str, str]]:
    return _config(
        "[profile app]", f"credential_process = {command}".replace("{", "{{").replace("}", "}}")
    )


def _prints(text: str, then: str = "") -> Callable[[Site], dict[str, str]]:
    def make(site: Site) -> dict[str, str]:
        (site.directory / "printed").write_text(text)
        script = site.directory / "script"
        script.write_text(
            f"#!/bin/sh\ncat {shlex.quote(str(site.directory / 'printed'))}\n{then}\n"
        )
        script.chmod(0o755)
        site.config("[profile app]", f"credential_process = {script}")
        return PROFILE

    return make


def _variables(**variables: str) -> Callable[[Site], dict[str, str]]:
    def make(site: Site) -> dict[str, str]:
        for name, value in variables.items():
            site.setenv(name, value.replace("{}", str(site.directory)))
        return {}

    return make


def _expiring(when: str) -> Callable[[Site], dict[str, str]]:
    return _variables(
        AWS_ACCESS_KEY_ID=f"AKIA{CANARY}",
        AWS_SECRET_ACCESS_KEY=SECRET,
        AWS_CREDENTIAL_EXPIRATION=when,
    )


def _web_identity(content: bytes | None, **more: str) -> Callable[[Site], dict[str, str]]:
    def make(site: Site) -> dict[str, str]:
        if content is not None:
            (site.directory / "token").write_bytes(content)
        role = {"AWS_ROLE_ARN": site.principal.arn}
        return _variables(**role | {"AWS_WEB_IDENTITY_TOKEN_FILE": "{}/token"} | more)(site)

    return make


def _authorization(**more: str) -> Callable[[Site], dict[str, str]]:
    def make(site: Site) -> dict[str, str]:
        (site.directory / "token").write_text(f"{CANARY}-token\n")
        site.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", site.aws.container_url)
        site.setattr(site.aws.container, "role", site.principal)
        return _variables(**more)(site)

    return make


def _profiles(**variables: str) -> Callable[[Site], dict[str, str]]:
    def make(site: Site) -> dict[str, str]:
        site.credentials("[default]", *lines_of(site.rds.key))
        return _variables(**variables)(site)

    return make


def _misplaced(site: Site) -> dict[str, str]:
    site.config("[default]", "region = us-east-1", "[app]", *KEYS)
    return PROFILE


def _misplaced_credentials(site: Site) -> dict[str, str]:
    site.credentials("[profile app]", *KEYS)
    return PROFILE


def _directory(site: Site) -> dict[str, str]:
    return _variables(AWS_SHARED_CREDENTIALS_FILE="{}")(site)


def _pipe(site: Site) -> dict[str, str]:
    os.mkfifo(site.directory / "pipe")
    return _variables(AWS_SHARED_CREDENTIALS_FILE="{}/pipe")(site)


def _behind_a_proxy(site: Site) -> dict[str, str]:
    site.delenv("AWS_EC2_METADATA_DISABLED", raising=False)
    site.setattr(site.aws.imds, "role", site.principal)
    return _variables(
        AWS_EC2_METADATA_SERVICE_ENDPOINT="http://169.254.169.254/",
        HTTP_PROXY=f"http://app:{CANARY}@127.0.0.1:9",
        NO_PROXY="localhost",
    )(site)


def _behind_a_proxy_that_answers(site: Site) -> dict[str, str]:
    options = _behind_a_proxy(site)
    site.setenv("HTTP_PROXY", site.aws.container.url)
    return options


_THROUGH_PROXY = "through a proxy (HTTP_PROXY): add 169.254.169.254 to NO_PROXY"
_FILE = "{}/credentials cannot be parsed: line "
_ROLE = ("[profile app]", "role_arn = {arn}")
MISTAKES: dict[str, Mistake] = {
    "file without a section": Mistake(
        _file(*KEYS), (f"{_FILE}1 stands before the first [section]",), "ConfigParseError"
    ),
    "file with a setting twice": Mistake(
        _file("[default]", *KEYS, KEYS[1]), (f"{_FILE}4 repeats a setting",), "ConfigParseError"
    ),
    "file with a section twice": Mistake(
        _file("[default]", *KEYS, "[default]"),
        (f"{_FILE}4 begins a [section]",),
        "ConfigParseError",
    ),
    "file with a line that is nothing": Mistake(
        _file("[default]", KEYS[0], SECRET), (f"{_FILE}3 is neither",), "ConfigParseError"
    ),
    "file with a block that is nothing": Mistake(
        _file("[default]", *KEYS, "s3 =", "  a = b", f"  {SECRET}"),
        (f"{_FILE}6 is no setting",),
        "ConfigParseError",
    ),
    "file with a byte order mark": Mistake(
        _file("[default]", *KEYS, raw=b"\xef\xbb\xbf"),
        (f"{_FILE}1", "BOM", "UTF-8"),
        "ConfigParseError",
    ),
    "file in UTF-16": Mistake(
        _file("[default]", *KEYS, encoding="utf-16"),
        (f"{_FILE}1", "BOM", "UTF-16"),
        "ConfigParseError",
    ),
    "file in Latin-1": Mistake(
        _file("[default]", "# für die App", *KEYS, encoding="latin-1"),
        (f"{_FILE}2 has a byte that is no utf-8",),
        "ConfigParseError",
    ),
    "file that is a directory": Mistake(
        _directory, ("{} (AWS_SHARED_CREDENTIALS_FILE) is a directory",), retryable=True
    ),
    "file that is a pipe": Mistake(_pipe, ("{}/pipe", "is no regular file"), retryable=True),
    "file that is missing": Mistake(
        _variables(AWS_CONFIG_FILE="{}/none"),
        ("{}/none (AWS_CONFIG_FILE) does not exist",),
        retryable=True,
    ),
    "AWS_DEFAULT_PROFILE": Mistake(
        _profiles(AWS_DEFAULT_PROFILE="none", AWS_PROFILE="default"),
        ("(none)", ": AWS_DEFAULT_PROFILE names"),
        "ProfileNotFound",
    ),
    "AWS_PROFILE": Mistake(
        _profiles(AWS_PROFILE="none"), (": AWS_PROFILE names",), "ProfileNotFound"
    ),
    "section of the credentials file in the config file": Mistake(
        _misplaced,
        ("rds_iam_profile names", "line 3 of {}/config has to be [profile app], not [app]"),
        "ProfileNotFound",
    ),
    "section of the config file in the credentials file": Mistake(
        _misplaced_credentials,
        ("line 1 of {}/credentials has to be [app], not [profile app]",),
        "ProfileNotFound",
    ),
    "process that fails in silence": Mistake(
        _process("false"),
        (
            "'custom-process'",
            "credential_process of the profile 'app' has failed",
            "nothing to stderr",
        ),
        "CredentialRetrievalError",
    ),
    "process that says why": Mistake(
        _prints(json.dumps(JSON), f"printf 'not signed in\\nfor {SECRET}' >&2; exit 3"),
        ("has failed: not signed in",),
        "CredentialRetrievalError",
    ),
    "process that says why in Python": Mistake(
        _prints("", "printf 'Traceback (most):\\n  x\\nKeyError: vault\\n' >&2; exit 1"),
        ("has failed: KeyError: vault",),
        "CredentialRetrievalError",
    ),
    "process that does not exist": Mistake(
        _process(f"/nonexistent/program --key {SECRET}"),
        ("cannot be run: '/nonexistent/program' (No such file or directory)",),
        "FileNotFoundError",
    ),
    "process that is no program": Mistake(
        _process("/etc/passwd"),
        ("cannot be run: '/etc/passwd' (Permission denied)",),
        "PermissionError",
    ),
    "process in broken quotes": Mistake(
        _process("program 'x"), ("is no command (No closing quotation)",), "ValueError"
    ),
    "process that is empty": Mistake(_process(""), ("is empty",), None),
    "process that prints nothing": Mistake(
        _prints(""), ("has printed nothing",), "JSONDecodeError"
    ),
    "process that prints junk": Mistake(
        _prints(f"export AWS_SECRET_ACCESS_KEY={SECRET}"),
        ("prints what is no JSON (line 1, column 1)",),
        "JSONDecodeError",
    ),
    "process that prints a list": Mistake(
        _prints(json.dumps([JSON])), ("JSON that is no object",), "AttributeError"
    ),
    "process that prints another version": Mistake(
        _prints(json.dumps(JSON | {"Version": SECRET})),
        ('has to print JSON with "Version": 1',),
        "CredentialRetrievalError",
    ),
    "process that prints half of it": Mistake(
        _prints(json.dumps({"Version": 1, "AccessKeyId": SECRET})),
        ("JSON without the key 'SecretAccessKey'",),
        "CredentialRetrievalError",
    ),
    "process that prints null": Mistake(
        _prints(json.dumps(JSON | {"SecretAccessKey": None})), ("the secret access key is missing",)
    ),
    "process that prints no time": Mistake(
        _prints(json.dumps(JSON | {"Expiration": "soon"})),
        ("the Expiration that the credential_process", "is no time", TIME),
        "ParserError",
    ),
    "process that prints a time without a zone": Mistake(
        _prints(json.dumps(JSON | {"Expiration": "2030-01-31T12:00:00"})),
        ("the Expiration that the credential_process", "has no time zone", TIME),
        "TypeError",
    ),
    "process that prints old keys": Mistake(
        _prints(json.dumps(JSON | {"Expiration": "2024-01-31T12:00:00Z"})),
        ("still expired", "the Expiration that the credential_process", "has passed"),
        "RuntimeError",
        retryable=True,
    ),
    "expired variables": Mistake(
        _expiring("2024-01-01T00:00:00Z"),
        ("still expired", "AWS_CREDENTIAL_EXPIRATION='2024-01-01T00:00:00Z' has passed"),
        "RuntimeError",
        retryable=True,
    ),
    "expiration that is no time": Mistake(
        _expiring("tomorrow"),
        ("AWS_CREDENTIAL_EXPIRATION='tomorrow' is no time", TIME),
        "ParserError",
    ),
    "expiration without a zone": Mistake(
        _expiring("2030-01-31T12:00:00"),
        ("AWS_CREDENTIAL_EXPIRATION='2030-01-31T12:00:00' has no time zone", TIME),
        "TypeError",
    ),
    "key without its secret": Mistake(
        _variables(AWS_ACCESS_KEY_ID=f"AKIA{CANARY}"),
        ("missing: AWS_SECRET_ACCESS_KEY",),
        "PartialCredentialsError",
    ),
    "key without its secret in a file": Mistake(
        _file("[default]", KEYS[0]),
        ("missing: aws_secret_access_key of the profile 'default' in {}/credentials",),
        "PartialCredentialsError",
    ),
    "secret without its key": Mistake(
        _variables(AWS_SECRET_ACCESS_KEY=SECRET),
        ("AWS_SECRET_ACCESS_KEY is set without AWS_ACCESS_KEY_ID",),
        retryable=True,
    ),
    "web identity that is empty": Mistake(
        _web_identity(b""),
        ("'assume-role-with-web-identity'", "{}/token (AWS_WEB_IDENTITY_TOKEN_FILE) is empty"),
        "ParamValidationError",
    ),
    "web identity that is missing": Mistake(
        _web_identity(None),
        ("{}/token (AWS_WEB_IDENTITY_TOKEN_FILE) cannot be read (No such file or directory)",),
        "FileNotFoundError",
    ),
    "web identity that is a directory": Mistake(
        _web_identity(None, AWS_WEB_IDENTITY_TOKEN_FILE="{}"),
        ("{} (AWS_WEB_IDENTITY_TOKEN_FILE) cannot be read (Is a directory)",),
        "IsADirectoryError",
    ),
    "web identity that is no text": Mistake(
        _web_identity(f"{CANARY}\xff".encode("latin-1")),
        ("{}/token (AWS_WEB_IDENTITY_TOKEN_FILE) is no text",),
        "UnicodeDecodeError",
    ),
    "web identity for no role": Mistake(
        _web_identity(b"token", AWS_ROLE_ARN="app"),
        ("STS cannot be asked: Invalid length for parameter RoleArn, valid min length: 20",),
        "ParamValidationError",
    ),
    "authorization token with a line feed": Mistake(
        _authorization(AWS_CONTAINER_AUTHORIZATION_TOKEN=f"{CANARY}-token\n"),
        ("'container-role'", "AWS_CONTAINER_AUTHORIZATION_TOKEN ends in a line feed"),
        "ValueError",
    ),
    "authorization token in a file with a line feed": Mistake(
        _authorization(AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE="{}/token"),
        ("{}/token (AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE) ends in a line feed",),
        "ValueError",
    ),
    "authorization token in a file that is missing": Mistake(
        _authorization(AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE="{}/none"),
        ("{}/none (AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE) cannot be read",),
        "FileNotFoundError",
    ),
    "metadata behind a proxy": Mistake(_behind_a_proxy, (_THROUGH_PROXY,), retryable=True),
    "metadata behind a proxy that answers": Mistake(
        _behind_a_proxy_that_answers, (_THROUGH_PROXY,), retryable=True
    ),
    "source profile that is missing": Mistake(
        _config(*_ROLE, "source_profile = base"), ('"base"', "does not exist"), "InvalidConfigError"
    ),
    "profiles in a circle": Mistake(
        _config(
            *_ROLE, "source_profile = b", "[profile b]", "role_arn = {arn}", "source_profile = app"
        ),
        ("Infinite loop",),
        "InfiniteLoopConfigError",
    ),
    "source that is misspelled": Mistake(
        _config(*_ROLE, "credential_source = EcsContaner"), ("EcsContaner",), "InvalidConfigError"
    ),
}
