"""Commands that say what things are."""
