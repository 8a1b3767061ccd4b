"""PostgreSQL for the doctor: its protocol, its answers, its catalogue."""
