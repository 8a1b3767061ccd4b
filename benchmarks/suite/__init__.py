"""The benchmarks: each is a command, and ``everything`` runs them all."""
