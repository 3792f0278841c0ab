"""Starts a run: checks what the user gave, writes the run folder, launches the manager."""
