"""How files are written, locked and replaced so that a crash leaves them whole."""
