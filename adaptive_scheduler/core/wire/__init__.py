"""What clients, manager and viewers send to each other."""
