"""The AWS services that the emulator plays, each over HTTP."""
