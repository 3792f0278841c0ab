"""Objects of the user's code as files and bytes."""
