"""What the plugin costs and what it withstands, measured against the emulator."""
