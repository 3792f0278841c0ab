"""What the documentation is made of."""
