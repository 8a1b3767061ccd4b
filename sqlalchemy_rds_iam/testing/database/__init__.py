"""The database's side of the emulator: the gateway, what it verifies, the sessions behind it."""
