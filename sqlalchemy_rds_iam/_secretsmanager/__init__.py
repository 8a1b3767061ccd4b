"""Passwords from AWS Secrets Manager. Loaded only where there is an engine with one."""
