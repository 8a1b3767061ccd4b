"""What the benchmarks share: the command line, charts, tables, the emulator and its clients."""
