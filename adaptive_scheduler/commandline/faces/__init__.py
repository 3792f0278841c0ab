"""Commands that show runs outside of the terminal."""
