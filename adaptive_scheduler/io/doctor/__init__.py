"""Observes what a run needs of a machine, a node and a folder; decides nothing."""
