"""Why something in a run is as it is, asked from outside."""
