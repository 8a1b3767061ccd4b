"""A simulation of fleets at the ceiling: discrete events, no wall clock, one seed."""
