"""The PostgreSQL in front of which the emulator stands: its protocol, its users, its sessions."""
