"""Candidates that a model sorts, as their values come in: the best are evaluated first."""
