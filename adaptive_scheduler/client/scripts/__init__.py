"""Learners that a script of the user's own runs."""
