"""Variables of the environment that are set to nothing: for botocore, too, they are not set.

A container's definition, a Helm chart or a CI file passes on what is missing as an empty text.
botocore takes an empty ``AWS_PROFILE`` for a profile without a name and fails, lets an empty
``AWS_DEFAULT_REGION`` hide the region of the profile, asks an address made of an empty
``AWS_CONTAINER_CREDENTIALS_FULL_URI``, and some releases take an empty ``AWS_CA_BUNDLE`` for a wish
not to verify AWS's certificates.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy_rds_iam._config.urls import is_blank

_PREFIX = "AWS_"
_OTHER_CA = "REQUESTS_CA_BUNDLE"


class Environment(Mapping[str, str]):
    """The environment as it is now, without the variables of AWS that are empty."""

    def __getitem__(self, name: str) -> str:
        value = os.environ[name]
        if name.startswith(_PREFIX) and is_blank(value):
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return (name for name in os.environ if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def forget_empty_settings(session: Any) -> Any:
    """Have a new session of botocore's, or aiobotocore's, look past empty variables.

    Returns:
        The session.
    """
    empty = _empty()
    variables = session.session_var_map
    for name, (setting, read, default, convert) in list(variables.items()):
        names = [read] if isinstance(read, str) else list(read or ())
        if not empty.isdisjoint(names):
            left = [each for each in names if each not in empty]
            variables[name] = (setting, left or None, default, convert)
    if _OTHER_CA in empty and session.get_config_variable("ca_bundle") is None:
        session.set_config_variable("ca_bundle", True)
    return session


def forget_empty_credentials(providers: list[Any]) -> None:
    """Have providers of credentials look past empty variables, which they read by themselves."""
    empty = _empty()
    if not empty:
        return
    for provider in providers:
        for name in ("environ", "_environ"):
            if getattr(provider, name, None) is os.environ:
                setattr(provider, name, Environment())
        if read := getattr(provider, "_CONFIG_TO_ENV_VAR", None):
            # Of AssumeRoleWithWebIdentityProvider, whose empty file would hide that of the profile.
            left = {key: name for key, name in read.items() if name not in empty}
            provider._CONFIG_TO_ENV_VAR = left  # noqa: SLF001


def _empty() -> set[str]:
    return {
        name
        for name, value in os.environ.items()
        if (name.startswith(_PREFIX) or name == _OTHER_CA) and is_blank(value)
    }
