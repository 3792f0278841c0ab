"""The full-screen view of a run: ``status --watch`` in a terminal."""
