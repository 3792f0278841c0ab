"""Files that survive a crash, and the database that is made of them."""
