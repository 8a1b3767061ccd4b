"""What the command line and the doctor add. No engine loads it."""
