"""Shows runs as text, tables and HTML."""
