"""Tasks of several ranks: how their launcher is called, and what it starts as each rank."""
