"""Why does it not connect? The walk of a connect, step by step, and the cause that is behind it.

    from sqlalchemy_rds_iam.doctor import examine

    report = examine("postgresql+psycopg://app@mydb….rds.amazonaws.com/app?plugin=rds_iam")
    for cause in report.causes:
        print(cause.certainty, cause.code, cause.summary)

RDS answers a wrong region, a missing policy, an expired session and a wrong clock in the same
words. So the examination looks at everything that can be known from here, and lists what cannot be
known as likely or possible. It changes nothing; it attempts at most `MOST_LOGINS` logins; no secret
is in the report; and the checks share one deadline.

``rds-iam doctor URL`` is the same as a command.
"""

from __future__ import annotations

from sqlalchemy_rds_iam.doctor.examination import examine
from sqlalchemy_rds_iam.doctor.findings import (
    Certainty,
    Command,
    Finding,
    Kind,
    Outcome,
    Report,
    Status,
)
from sqlalchemy_rds_iam.doctor.state import MOST_LOGINS

__all__ = [
    "MOST_LOGINS",
    "Certainty",
    "Command",
    "Finding",
    "Kind",
    "Outcome",
    "Report",
    "Status",
    "examine",
]
