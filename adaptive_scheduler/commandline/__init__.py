"""The parts of the command line ``adaptive-scheduler``."""
