"""A sweep as its user runs it: its folder, what is to be run, how it goes, its results."""
