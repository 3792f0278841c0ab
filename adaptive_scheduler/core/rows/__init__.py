"""Items: their phases and events, the table of all of them, and the state of a run."""
