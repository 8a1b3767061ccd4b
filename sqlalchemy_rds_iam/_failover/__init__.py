"""Which server an engine's connections must be on, and one prober for all that wait for it."""
