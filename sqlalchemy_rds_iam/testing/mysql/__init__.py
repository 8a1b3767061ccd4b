"""MySQL as the emulator plays it, in front of a MariaDB: its protocol, its users, its sessions."""
