"""Runs one learner, from load to last save."""
