"""The server's own reason, read from CloudWatch where that is allowed and asked for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import pytest
from aiohttp import web
from doctor_catalogue import FAULTS
from doctor_support import Ward, assert_no_secret

from sqlalchemy_rds_iam.doctor import Report, examine, iam_log
from sqlalchemy_rds_iam.testing import RdsEmulator
from sqlalchemy_rds_iam.testing.aws.service import AwsError, Call, Service

GROUP = "/aws/rds/instance/app-db/iam-db-auth-error"


class Logs(Service):
    """CloudWatch Logs: FilterLogEvents, of what the emulated database has decided.

    How a line is laid out is not documented; the reasons are.

    Attributes:
        late: Questions that are asked before the log has arrived.
        names_users: Whether a line says whose login it was.
    """

    name = "logs"

    def __init__(self, rds: RdsEmulator) -> None:
        super().__init__(rds.identities)
        self._rds = rds
        self.late = 0
        self.names_users = True
        self.asked: list[dict[str, object]] = []

    def operation(self, call: Call) -> str:
        """The operation asked for."""
        return (call.header("X-Amz-Target") or "").partition(".")[2]

    def answer(self, call: Call) -> web.Response:
        """Every refusal so far."""
        self.asked.append(json.loads(call.body))
        if self.asked[-1]["logGroupName"] != GROUP:
            raise AwsError(400, "ResourceNotFoundException", "The specified log group is missing.")
        refused = [each for each in self._rds.decisions if not each.granted]
        if len(self.asked) <= self.late:
            refused = []
        events = [
            {
                "timestamp": int(each.time * 1000),
                "message": f"{each.reason}: {each.detail if self.names_users else ''}",
            }
            for each in refused
        ]
        return web.json_response({"events": events}, content_type="application/x-amz-json-1.1")

    def refusal(self, error: AwsError) -> web.Response:
        """The JSON of its errors."""
        return web.json_response(
            {"__type": error.code, "message": error.message},
            status=error.status,
            content_type="application/x-amz-json-1.1",
        )


@pytest.fixture
def logs(ward: Ward) -> Iterator[Logs]:
    """CloudWatch, where botocore looks for it."""
    ward.patch.setattr(iam_log, "PATIENCE", 1.0)
    ward.patch.setattr(iam_log, "INTERVAL", 0.01)
    service = Logs(ward.rds)
    ward.rds._call(service.start())
    ward.patch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", service.url)
    yield service
    ward.rds._call(service.stop())


def _examine(ward: Ward) -> Report:
    report = examine(ward.url, read_log=True, timeout=ward.timeout)
    assert_no_secret(report, ward)
    return report


def test_the_server_says_why(ward: Ward, logs: Logs) -> None:
    """What would be likely is certain with the log, though it arrives late; and stands alone."""
    FAULTS["policy for another user"].inject(ward)
    logs.late = 2
    [cause] = _examine(ward).causes
    assert (cause.code, cause.certainty) == ("policy", "certain")
    assert "NotAuthorized" in cause.summary
    assert "has no rds-db:connect permission" in cause.evidence[0]
    assert len(ward.rds.decisions) == 1


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("InternalError", "rds-internal"),
        ("ThrottlingException", "throttled"),
        ("ExpiredToken", "token-expired"),
        ("InvalidToken", "token-invalid"),
    ],
)
def test_reasons(reason: str, code: str, ward: Ward, logs: Logs) -> None:
    """Each documented reason is known."""
    records = ward.rds.gateway.records
    add = records.add
    ward.patch.setattr(
        records, "add", lambda d: add(d if d.granted else dataclasses.replace(d, reason=reason))
    )
    ward.rds.gateway.refuse_next = 100
    logs.names_users = False
    report = _examine(ward)
    assert (report.causes[0].code, report.causes[0].certainty) == (code, "likely")


def test_no_log_is_read_unasked(ward: Ward, logs: Logs) -> None:
    """CloudWatch is asked only if the user says so, and only after a refused token."""
    FAULTS["policy for another user"].inject(ward)
    ward.examine()
    assert logs.asked == []
    ward.rds.key.principal.db_users = None
    ward.use(ward.rds.key)
    assert _examine(ward).healthy
    assert logs.asked == []


@pytest.mark.parametrize("fault", ["denied", "silent", "reset"])
def test_the_log_says_nothing(fault: str, ward: Ward, logs: Logs) -> None:
    """A log that cannot be read, or is not exported, is told of, and the rest goes on."""
    FAULTS["policy for another user"].inject(ward)
    ward.patch.setattr(iam_log, "PATIENCE", 0.05)
    if fault == "denied":
        logs.fail(AwsError(400, "AccessDeniedException", "User is not authorized."))
    elif fault == "silent":
        logs.late = 1000
    else:
        logs.fail("reset")
        ward.patch.setattr("time.sleep", lambda _: None)
    report = _examine(ward)
    assert report.causes[0].code == "policy"
    assert report.causes[0].certainty == "likely"
    [told] = [
        finding
        for outcome in report.outcomes
        for finding in outcome.findings
        if "IAM log" in finding.summary or "no entry in" in finding.summary
    ]
    assert told.status == "note"
