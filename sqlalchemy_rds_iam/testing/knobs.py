"""What a test can do to the gateway: the faults of a database, its IAM and what is in between."""

from __future__ import annotations

import ssl

from sqlalchemy_rds_iam.testing.database.throttle import Ceiling


class Knobs:
    """Fault knobs; each may be changed while connections come in and counts for those that follow.

    Attributes:
        decline_tls: Offer no TLS, as a server without it does: answer every request with "N", and
            leave it out of MySQL's greeting.
        refuse_next: Refuse this many more logins whatever their token says.
        auth_delay: Seconds that each authentication takes longer.
        answer: SQLSTATE and words to answer each token with, as a proxy in front would; for MySQL
            behind a number, as in ``(1040, "HY000", "IAM authentication rate limit exceeded")``.
        longest_token: Bytes that are kept of each token, as by a pooler that cuts passwords.
        clock_offset: Seconds by which the database's clock is ahead of all other clocks.
        forged_status: Values, by the parameter's name, that clients are told in ParameterStatus in
            place of the server's, as by a pooler that passes on what was true once; None keeps the
            parameter from them, as by a proxy, or a server of before PostgreSQL 14. In a cluster
            it counts for what is sent from now on, else for sessions that are opened.
        certificate: The TLS context that is served; see `Certificates` for bad ones.
        default_plugin: MySQL: the plugin that the greeting names, None for the server's own. With
            ``mysql_clear_password`` most clients send the token in their first packet.
        switch_to: MySQL: the plugin that clients are asked to use in place of
            ``mysql_clear_password``, as if the account were none of IAM's.
        asks_before_tls: MySQL: offer TLS, and ask for the password in clear when it is asked for.
        greeting_error: MySQL: number, SQLSTATE (may be empty) and words in place of the greeting.
        login_timeout: Seconds a client may take from connecting to its token.
        reuse_sessions: Let server sessions serve one client after another, as RDS Proxy does.
    """

    def __init__(
        self, certificate: ssl.SSLContext, ceiling: float | None, login_timeout: float
    ) -> None:
        self.ceiling = ceiling
        self.login_timeout = login_timeout
        self.reuse_sessions = False
        self._valid_certificate = certificate
        self.reset()

    def reset(self) -> None:
        """Put every fault knob back to no fault."""
        self.decline_tls = False
        self.refuse_next = 0
        self.auth_delay = 0.0
        self.answer: tuple[str | int, ...] | None = None
        self.longest_token: int | None = None
        self.clock_offset = 0.0
        self.forged_status: dict[str, str | None] = {}
        self.default_plugin: str | None = None
        self.switch_to: str | None = None
        self.asks_before_tls = False
        self.greeting_error: tuple[int, str, str] | None = None
        self.certificate = self._valid_certificate

    @property
    def ceiling(self) -> float | None:
        """Authentications a second before IAM throttles, None for no limit."""
        return self._ceiling.rate

    @ceiling.setter
    def ceiling(self, rate: float | None) -> None:
        self._ceiling = Ceiling(rate)
