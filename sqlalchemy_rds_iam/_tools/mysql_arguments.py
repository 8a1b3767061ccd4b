"""Arguments of the clients of MySQL and MariaDB that say what a URL says as well.

Source: "Specifying Program Options" and "Command Options for Connecting to the Server" in the MySQL
Reference Manual.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy_rds_iam.errors import ConfigError

# Arguments that say what the URL says, or where else to read it.
_SHORT = {"h": "host", "P": "port", "u": "user", "p": "password", "S": "socket"}
_LONG = (
    *("defaults-file", "defaults-extra-file", "no-defaults", "login-path"),
    *("defaults-group-suffix", "host", "port", "user", "password", "socket", "protocol"),
    *("ssl", "ssl-mode", "ssl-ca", "ssl-capath", "ssl-verify-server-cert"),
    *("plugin-dir", "default-auth", "pipe", "password1", "password2", "password3"),
    *("get-server-public-key", "server-public-key-path", "cleartext-plugin", "dns-srv-name"),
)
_PREFIXES = re.compile(r"(?:loose|skip|disable|enable|maximum)-")


def refuse_arguments(command: Sequence[str]) -> None:
    """Refuse arguments that would overrule the option file, which are read after it.

    Raises:
        ConfigError: there is one.
    """
    for argument in command[1:]:
        if word := _word(argument):
            # What follows may be a password.
            shown = argument.partition("=")[0] if argument.startswith("--") else argument[:2]
            raise ConfigError(
                f"{command[0]} {shown}: {word} is for the URL to say, and an argument would "
                f"overrule it: leave {shown} out, and change the URL or give --option before the --"
            )


def _word(argument: str) -> str | None:
    """The option about the connection that an argument is, if it is one; else None."""
    if not argument.startswith("--"):
        return _SHORT.get(argument[1:2]) if argument.startswith("-") else None
    name = argument[2:].partition("=")[0].replace("_", "-")
    while found := _PREFIXES.match(name):
        name = name[found.end() :]
    # As many letters of a name will do as no other begins with.
    return next((each for each in _LONG if len(name) > 1 and each.startswith(name)), None)
