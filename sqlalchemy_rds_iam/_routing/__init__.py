"""Writer and reader: pairs of engines, and sessions that use both."""
