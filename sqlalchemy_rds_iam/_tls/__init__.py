"""Whom we trust: CA files, and the SSL contexts made of them."""
