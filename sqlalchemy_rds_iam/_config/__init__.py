"""What the user asked for: the options of both plugins, and the URL they are in."""
