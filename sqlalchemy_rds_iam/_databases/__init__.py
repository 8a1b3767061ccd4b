"""A database and its drivers: the names of their arguments, their TLS, their SQL."""
