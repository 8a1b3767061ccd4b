"""What the emulator is made of: PostgreSQL, its files, and certificates."""
