"""Messages between clients, manager and people's programs, and what is in them."""
