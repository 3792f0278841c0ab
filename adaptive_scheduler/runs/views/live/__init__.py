"""Views that go on while something is waited for."""
