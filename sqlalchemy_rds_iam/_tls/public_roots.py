"""Public roots: the authorities that certify any server, each for a name of its owner's.

To trust one of them is to trust each server that has a certificate, unless the name is checked,
too. So libpq refuses ``sslrootcert=system`` with anything weaker than ``verify-full``
("sslrootcert" in the libpq chapter of the PostgreSQL documentation), and so does this package.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import ssl
from collections.abc import Iterator
from pathlib import Path

_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)

# Where Debian, Ubuntu and Alpine have them one by one; those of the user's own are elsewhere.
_ONE_BY_ONE = "/usr/share/ca-certificates"


def files() -> list[str]:
    """Where the public roots may be: first what ``SSL_CERT_FILE`` says, or "", then the places."""
    paths = ssl.get_default_verify_paths()
    return [os.environ.get(paths.openssl_cafile_env, ""), paths.openssl_cafile, *_FILES]


def shipped() -> Iterator[str]:
    """The files of public roots that Python packages bring, botocore's first."""
    for package in ("botocore", "certifi"):
        # Its place is asked for, and nothing imported: botocore takes long.
        spec = importlib.util.find_spec(package)
        if spec and spec.origin:
            yield str(Path(spec.origin).with_name("cacert.pem"))


def are_in(ctx: ssl.SSLContext) -> bool:
    """Whether a context trusts public roots, as far as it shows whom it trusts.

    One that shows no authority has a directory of them, as most systems' own defaults are, and
    counts as if it did.
    """
    trusted = ctx.get_ca_certs(binary_form=True)
    return not trusted or not _known().isdisjoint(trusted)


def are_in_file(ca: str) -> bool:
    """Whether a CA file is one of public roots, under whatever name, or has some beside others."""
    for file in (*files(), *shipped()):
        with contextlib.suppress(OSError):  # it is not there
            if os.path.samefile(file, ca):  # noqa: PTH121
                return True
    if Path(ca).resolve().is_relative_to(_ONE_BY_ONE):
        return True
    try:
        return not _known().isdisjoint(_authorities(ca))
    except OSError:
        return False  # it cannot be read or parsed, and is going to be refused for that


@functools.cache
def _known() -> frozenset[bytes]:
    return frozenset().union(*(_authorities(file) for file in shipped() if Path(file).is_file()))


def _authorities(ca: str) -> frozenset[bytes]:
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.load_verify_locations(cafile=ca)
    return frozenset(ctx.get_ca_certs(binary_form=True))
