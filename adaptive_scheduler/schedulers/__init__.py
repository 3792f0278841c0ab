"""SPEAK: pure translators, one per batch system. Argument lists out, text in."""
