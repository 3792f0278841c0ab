"""How a run looks to people."""
