"""How runs stand, read from disk: one, or all below a folder."""
