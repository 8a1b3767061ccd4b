"""The path of one connect, from top to bottom."""
