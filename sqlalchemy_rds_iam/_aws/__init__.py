"""Who we are in AWS: credentials, roles and signatures."""
