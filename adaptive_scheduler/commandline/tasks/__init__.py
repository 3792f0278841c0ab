"""Commands about tasks alone."""
