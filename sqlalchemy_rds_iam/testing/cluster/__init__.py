"""A writer and a reader that take turns: servers, endpoints that move, and what can go wrong."""
