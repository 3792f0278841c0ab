"""What is printed: lines, live views, log entries, errors and exit codes."""
