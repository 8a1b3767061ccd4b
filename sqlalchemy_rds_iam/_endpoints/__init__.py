"""Where to: what the names of hosts and regions say."""
