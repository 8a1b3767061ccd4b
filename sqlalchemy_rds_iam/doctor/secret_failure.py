"""A login by secret that fails: what AWS or the server says, and what to do about it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator

from sqlalchemy_rds_iam.doctor import manners
from sqlalchemy_rds_iam.doctor.advice import look, shell
from sqlalchemy_rds_iam.doctor.driver_failure import cause_of, words
from sqlalchemy_rds_iam.doctor.findings import Command, Finding, Kind, problem
from sqlalchemy_rds_iam.doctor.state import State

_NOTED = 12
"""Lines of an error's notes that are shown."""


def explained(state: State, error: Exception) -> Finding:
    """The finding for a login by password that has failed."""
    first, *more = words(error)
    notes = [line.strip() for note in getattr(error, "__notes__", ()) for line in note.splitlines()]
    return problem(
        "secret-login-failed",
        f"the login with the secret {state.secret!r} fails: {first}",
        evidence=(*more[:3], *notes[:_NOTED]),
        fix="Correct what this says; describe-secret shows which versions the secret has",
        commands=tuple(_commands(state, error, first)),
    )


def _commands(state: State, error: Exception, said: str) -> Iterator[Command]:
    secret = state.secret or ""
    name = shlex.quote(secret)
    if "scheduled for deletion" in said:
        yield shell(f"aws secretsmanager restore-secret --secret-id {name}")
    if manners.of(state).family.is_refusal(cause_of(error)):
        yield shell(f"aws secretsmanager rotate-secret --secret-id {name}")
    if "is not for this identity" in said or "cannot be decrypted" in said:
        yield Command(Kind.POLICY, json.dumps(_policy(secret, said)))
    yield look(f"aws secretsmanager describe-secret --secret-id {name}")


def _policy(secret: str, said: str) -> dict[str, object]:
    """What an identity has to be allowed that reads the secret."""
    region = re.search(r"in ([a-z]{2}(?:-[a-z]+)+-\d)", said)
    arn = secret
    if not secret.startswith("arn:"):
        # Behind the name a secret's ARN has six characters of its own.
        place = region[1] if region else "*"
        arn = f"arn:aws:secretsmanager:{place}:ACCOUNT-ID:secret:{secret}-??????"
    action = "kms:Decrypt" if "decrypted" in said else "secretsmanager:GetSecretValue"
    resource = "KMS-KEY-ARN" if "decrypted" in said else arn
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}
