"""Another host, by the user's own ``ssh``."""
