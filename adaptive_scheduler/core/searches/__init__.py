"""What a search decides: its space, which points are too near to each other, how many are out."""
