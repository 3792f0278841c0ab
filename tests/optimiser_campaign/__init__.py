"""Kills the driver of examples/campaign, again and again, while allocations end at their walltime."""
