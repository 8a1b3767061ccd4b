"""What else logs in to RDS through IAM from SQLAlchemy, each where it is installed alone."""
