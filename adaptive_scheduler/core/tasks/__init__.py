"""What a task needs, and where it can run."""
