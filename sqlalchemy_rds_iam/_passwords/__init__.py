"""What we log in with, remembered and renewed: it knows no AWS, and logs nothing."""
