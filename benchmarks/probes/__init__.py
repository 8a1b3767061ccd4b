"""What a benchmark measures in fresh processes: the programs they run, and a fleet of them."""
