"""Notes on connects that fail for other reasons than the password: certificates, variables.

The drivers' errors say what happened. What they leave out is whom was trusted and why, and which
variable of the environment asked for it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy_rds_iam._config.iam_options import IamOptions
from sqlalchemy_rds_iam._config.options import PluginOptions
from sqlalchemy_rds_iam._connecting.login_warnings import LOGIN_WARNINGS
from sqlalchemy_rds_iam._databases.drivers import Target
from sqlalchemy_rds_iam._databases.family import chain
from sqlalchemy_rds_iam._endpoints.hostname import parse_host
from sqlalchemy_rds_iam._tls import ca_bundle, contexts, trust

_EXPIRED = "certificate has expired|certificate is not yet valid"
# OpenSSL's reason follows, unless the driver keeps it to itself.
_NO_REASON = "certificate verify failed(?!: )"


def explain_failure(
    error: BaseException,
    cparams: Mapping[str, Any],
    dialled: Any,
    target: Target,
    config: PluginOptions,
) -> None:
    """Add a note (PEP 678) to an error of connecting that says too little, if it is known why.

    Args:
        error: any error of connecting, a refused password among them.
        cparams: what the driver was told.
        dialled: the host in the URL.
        target: what it stands for.
        config: the options, and their names.
    """
    said = "\n".join(str(failure) for failure in chain(error))
    family, cause = target.driver.family, "certificate"
    if re.search(family.certificate, said):
        lines = [*_certificate(said, dialled, target, config), *_trust(error, target, config)]
    else:
        cause, lines = "environment", [*family.hindrances(said, cparams)]
        lines += [each.text for each in family.at_proxy(target.endpoint.user, said)]
    if lines:
        error.add_note(f"{config.PLUGIN}: " + "\n  ".join(lines))
        LOGIN_WARNINGS.warn(target.endpoint, cause, " ".join(lines[:2]))


def _certificate(said: str, dialled: Any, target: Target, config: PluginOptions) -> Iterator[str]:
    host, option, follow = target.host, config.named("host"), config.named("resolve_cname")
    signs = isinstance(config, IamOptions)
    if host.partition is None:
        yield f"the certificate was not accepted for {host.host!r}, which is no RDS endpoint name"
        yield (
            "RDS certificates name RDS endpoints only, never a CNAME, custom domain or IP address "
            "that leads to one"
        )
        is_then = "signed for and verified" if signs else "verified"
        yield f"set {option} to the endpoint's own name, which is then {is_then}, or,"
        yield f"for a CNAME, {follow}=on to have its records followed"
    elif host.host != parse_host(str(dialled)).host:
        yield f"the certificate has to name {host.host!r}, for which {dialled!r} stands"
        yield f"it does so by {option}, or by the CNAME records that {follow} follows"
    else:
        yield f"the server's certificate was not accepted for {host.host!r}"
    if not re.search(target.driver.family.wrong_name, said):
        yield from _advice(said, target, config)
    elif host.partition is not None:
        yield "what answers is another server: look at what the name leads to from here"
    if target.ca is None and host.host != parse_host(str(dialled)).host:
        yield "(an SSL context of your own checks for the name connected to, and cannot be used)"


def _advice(said: str, target: Target, config: PluginOptions) -> Iterator[str]:
    """What may be behind it if it is not the name."""
    host, found = target.host, target.ca
    current = trust.BUNDLE_URLS.get(host.partition or "", trust.BUNDLE_URL)
    if re.search(_EXPIRED, said):
        yield "by this machine's clock, one of the certificates has expired, or is not valid yet"
        return
    if re.search(_NO_REASON, said):
        yield "either one of the certificates has expired (or this machine's clock is wrong), or"
        yield "its issuer is not trusted: the driver does not say, rds-iam doctor does. If so:"
    if found is None:
        yield "the SSL context is your own, and so is what it trusts"
    elif host.is_proxy and not found.is_system:
        yield f"an RDS Proxy is certified by public roots, and {found.rule} is all that counts:"
        yield f"leave it out, or say {config.named('ca')}={trust.SYSTEM}"
    elif host.is_proxy:
        yield "an RDS Proxy is certified by public roots: those of this machine may be old, or"
        yield "something between ends TLS with a certificate of its own"
    elif found.is_system:
        yield "RDS has authorities of its own, which are not among the public roots of a system:"
        yield f"take {found.rule} back, and use Amazon's bundle: rds-iam ca --download, or"
        yield current
    elif host.region and not _is_about(found.path, host.region):
        yield f"no authority in that file is one of RDS for {host.region}: the bundle is old, or of"
        yield "another region or partition. Amazon's current one: rds-iam ca --download, or"
        yield current
    else:
        yield "something between may end TLS with a certificate of its own, or the bundle is old:"
        yield f"rds-iam ca --download, or {current}"
        yield from _left_out(target)


def _left_out(target: Target) -> Iterator[str]:
    """That an authority has expired, which OpenSSL cannot tell of one that was left out."""
    if isinstance(target.watched, ca_bundle.Narrowed):
        for name in ca_bundle.expired(target.watched.source, time.time()):
            yield f"{name!r} has expired, and is left out: a server whose certificate it issued"
            yield "needs one of a current authority, such as rds-ca-rsa2048-g1"
            return


def _is_about(file: str, region: str) -> bool:
    try:
        return region in ca_bundle.regions(ca_bundle.source(file, None))
    except OSError:
        return False


def _trust(error: BaseException, target: Target, config: PluginOptions) -> Iterator[str]:
    """Whom was trusted, and who issued what was shown, as far as the driver tells."""
    if target.ca is not None:
        yield f"checked with  {target.ca.path} ({target.ca.rule})"
        for file in target.driver.family.revocation(target.arguments):
            yield f"and with      {file}, to be about its issuer"
    failures = [*chain(error)]
    # PyMySQL makes an error of its own without naming the cause.
    failures += [each.__context__ for each in failures if each.__context__ is not None]
    if (name := next(filter(None, map(contexts.issuer, failures)), None)) is not None:
        yield f"issued by     {name!r}, by the server's own word"
    elif isinstance(config, IamOptions):
        yield "rds-iam doctor shows who issued the server's certificate"
