"""What a user holds: runs that are started, found again, watched and changed."""
