"""The file of an EMEWS workflow: what it may say, and what it means here."""
