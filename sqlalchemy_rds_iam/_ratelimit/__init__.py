"""How fast we may connect: the rate limiter of an endpoint, alone and shared by a fleet."""
