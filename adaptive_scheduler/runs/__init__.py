"""Runs as users have them: started, found again, watched and changed."""
