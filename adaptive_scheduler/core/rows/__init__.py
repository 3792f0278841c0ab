"""Rows of the database: items, their events and states, and which is given next."""
