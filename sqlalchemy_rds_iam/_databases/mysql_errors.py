"""MySQL and MariaDB: what an error says, by the number that servers and clients give it.

The numbers below 2000 are the server's, the others those of a client ("Server Error Message
Reference" and "Client Error Message Reference" in the MySQL reference manual).
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy_rds_iam._databases.family import chain

_REFUSED = {1045, 1698}  # ER_ACCESS_DENIED_ERROR, ER_ACCESS_DENIED_NO_PASSWORD_ERROR

# The client's own words for a plugin that it has not, some of which come with the server's number.
NO_PLUGIN = "(?:could not|cannot) be loaded"

LOADED = "it is already loaded"
"""What a client adds to that if another thread has loaded the plugin in the meantime."""

# RDS Proxy has one number, 1040, for rates and for full houses; and the client puts its own, 2002,
# in front of what takes the greeting's place.
_THROTTLED = "rate limit exceeded"

CERTIFICATE = (
    "(?i:certificate.verify.failed)|Validation of SSL server certificate failed|"
    "Hostname verification failed|unable to get local issuer certificate|"
    "certificate has expired|certificate is not yet valid|self.signed certificate"
)
"""What a driver says of a certificate that it does not accept."""

WRONG_NAME = (
    "(?i:hostname mismatch|IP address mismatch)|Hostname verification failed|"
    # Of Connector/C 3.3, which tells the reasons of OpenSSL in their own words.
    "Validation of SSL server certificate failed"
)
"""What it says if that is about the name alone."""


def number(error: BaseException) -> int | None:
    """An error's number: an attribute with two drivers, the first argument with the others."""
    found: Any = getattr(error, "errno", None)
    if found is None and error.args:
        found = error.args[0]
    return found if isinstance(found, int) else None


def is_refusal(error: BaseException) -> bool:
    """Whether this is the server refusing the password.

    Its text is no help: whether a password was used, it says as it likes. 1044, a database that the
    user may not enter, begins with the same words.
    """
    for failure in chain(error):
        if re.search(NO_PLUGIN, str(failure)):
            return False
        if isinstance(failure, OSError):
            continue  # its number is the operating system's
        if number(failure) in _REFUSED:
            return True
    return False


def is_throttled(error: BaseException) -> bool:
    """Whether this is RDS Proxy saying that logins come too fast.

    Source: "Troubleshooting for RDS Proxy" in the Amazon RDS User Guide.
    """
    return any(re.search(_THROTTLED, str(failure)) for failure in chain(error))
