"""Where to: what the names of hosts, regions and users say."""
