"""How words are parsed, explained and completed."""
