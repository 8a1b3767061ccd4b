"""What is mutated, and which tests have to notice."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Room(NamedTuple):
    """A part of the core, and its tests.

    Attributes:
        name: its name on the command line.
        sources: patterns of its files, in the package's folder.
        tests: files of tests, in their folder; of each, what needs no server.
    """

    name: str
    sources: tuple[str, ...]
    tests: tuple[str, ...]

    def files(self) -> list[str]:
        """The paths of its files, from the root of the checkout."""
        found = [
            str(path.relative_to(ROOT))
            for pattern in self.sources
            for path in sorted((ROOT / "sqlalchemy_rds_iam").glob(pattern))
        ]
        assert len(found) >= len(self.sources), f"a file of {self.name} has another name by now"
        return found


ROOMS = {
    room.name: room
    for room in (
        Room(
            "cache",
            ("_passwords/*.py",),
            (
                "unit/test_documented_numbers.py",
                "unit/test_fetch.py",
                "unit/test_lifetimes.py",
                "unit/test_cache_state.py",
                "unit/test_cache_refusals.py",
                "unit/test_tokens.py",
                "unit/test_tokens_renewal.py",
                "unit/test_tokens_machine.py",
            ),
        ),
        Room(
            "limiter",
            (
                "_ratelimit/limiter.py",
                "_ratelimit/retry_policy.py",
                "_ratelimit/shared_limiter.py",
            ),
            (
                "unit/test_documented_numbers.py",
                "unit/test_retries.py",
                "unit/test_first_login.py",
                "unit/test_turns.py",
                "unit/test_turns_throttled.py",
                "unit/test_shared_turns.py",
                "unit/test_shared_turns_lost.py",
                "unit/test_pacing.py",
                "connect/test_congestion.py",
                "connect/test_fleet_model.py",
            ),
        ),
        Room(
            "signing",
            ("_aws/sigv4.py", "_aws/key_check.py"),
            (
                "unit/test_documented_numbers.py",
                "unit/test_credentials_life.py",
                "unit/test_key_check.py",
                "unit/test_signing.py",
                "unit/test_tokens.py",
            ),
        ),
        Room(
            "container",
            ("_aws/container.py", "_aws/container_agent.py"),
            ("unit/test_container.py", "unit/test_container_differential.py"),
        ),
        Room(
            "endpoint",
            ("_endpoints/*.py",),
            (
                "unit/test_documented_numbers.py",
                "unit/test_endpoint.py",
                "unit/test_regions.py",
                "unit/test_names.py",
                "unit/test_names_memory.py",
            ),
        ),
        Room(
            "refusal",
            (
                "_connecting/refusals.py",
                "_connecting/login_errors.py",
                "_connecting/queueing.py",
                "_databases/postgresql.py",
                "_databases/postgresql_causes.py",
                "_databases/token_causes.py",
                "_databases/mysql.py",
                "_databases/mysql_causes.py",
                "_databases/mysql_dialing.py",
                "_databases/mysql_errors.py",
                "_databases/mysql_grants.py",
                "_databases/mysql_words.py",
            ),
            (
                "unit/test_refusal.py",
                "unit/test_refusal_meaning.py",
                "unit/test_refusal_note.py",
                "unit/test_postgresql.py",
                "unit/test_refused_token.py",
                "unit/test_causes_in_words.py",
                "unit/test_mysql.py",
                "unit/test_mysql_causes.py",
                "unit/test_mysql_dialing.py",
                "unit/test_mysql_grants.py",
                "unit/test_mysql_tls.py",
                "unit/test_queue.py",
                "connect/test_refusal_doctor.py",
            ),
        ),
    )
}
