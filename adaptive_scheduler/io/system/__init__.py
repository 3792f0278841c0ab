"""Programs, processes and logs."""
