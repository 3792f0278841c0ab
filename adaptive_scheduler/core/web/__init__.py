"""Decisions about the page of runs: who may see it, and by which address it is reached."""
