"""The ``rds-iam`` command. Its commands are in ``app``, which needs the extra ``cli``."""

from __future__ import annotations

import sys

from sqlalchemy_rds_iam._requirements import install, missing


def main() -> None:
    """Run the command, or say in one sentence what is not installed."""
    if absent := missing("typer", "rich"):
        sys.exit(f"the rds-iam command needs {' and '.join(absent)}: {install(*absent)}")
    from sqlalchemy_rds_iam.cli.app import run  # only now: it is made of the two above

    run()
